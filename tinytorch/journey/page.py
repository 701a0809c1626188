"""The page: the journey's templates, with everything in them escaped."""

from __future__ import annotations

import base64
import functools
import io
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from tinytorch.ops.spec import Array
from tinytorch.profiling.report import html


def render(template: str, **context: Any) -> Markup:
    """Fill in one of the templates of the package."""
    return Markup(_environment().get_template(template).render(**context))


def grey_png(pixels: Array) -> str:
    """A grey image (height, width) uint8 as a data address that an `img` holds in itself."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, np.repeat(pixels[:, :, None], 3, axis=2), format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


@functools.cache
def _environment() -> jinja2.Environment:
    return html.environment("tinytorch.journey", grey_png=grey_png)
