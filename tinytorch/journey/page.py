"""The page: templates with everything escaped, and the words in which figures are shown."""

from __future__ import annotations

import base64
import functools
import io
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from tinytorch.journey import chart
from tinytorch.ops.spec import Array


def render(template: str, **context: Any) -> Markup:
    """Fill in one of the templates of the package."""
    return Markup(_environment().get_template(template).render(**context))


def seconds(value: float) -> str:
    """A span of time with three figures and a unit that suits it.

    >>> seconds(0.0123), seconds(0.000456), seconds(75.2)
    ('12.3 ms', '456 \u00b5s', '75.2 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= 0.9995 * size:
            return f"{_three(value / size)} {unit}"
    return f"{_three(value / 1e-6)} \u00b5s"


def percent(part: float) -> str:
    """A share in percent, with one decimal.

    >>> percent(0.8912)
    '89.1 %'
    """
    return f"{part * 100:.1f} %"


def count(number: float) -> str:
    """A number with its thousands set apart.

    >>> count(842496)
    '842,496'
    """
    return f"{number:,.0f}"


def size(number: float) -> str:
    """An amount of memory.

    >>> size(437_544)
    '427.3 KiB'
    """
    from tinytorch.console import quantity

    return quantity(number, "B")


def grey_png(pixels: Array) -> str:
    """A grey image (height, width) uint8 as a data address that an `img` holds in itself."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, np.repeat(pixels[:, :, None], 3, axis=2), format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def printable(text: str) -> str:
    """Text with what a page cannot show replaced: control characters other than line ends and tabs.

    >>> printable("a\\x00b\\n")
    'a\ufffdb\\n'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def _three(value: float) -> str:
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tinytorch.journey"),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        seconds=seconds,
        percent=percent,
        count=count,
        size=size,
        grey_png=grey_png,
        svg=lambda element: Markup(chart.markup(element)),
    )
    return environment
