"""The page: the journey's templates, with everything in them escaped."""

from __future__ import annotations

import base64
import functools
import io
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from tinytorch.journey.pictures import GONE, ZERO, Panel, decoded
from tinytorch.ops.spec import Array
from tinytorch.profiling.report import html

BLUE, ORANGE, GREY = (58, 122, 222), (224, 112, 42), (128, 134, 145, 110)
"""Of weights above and below 0, and of what is gone: to be seen on light paper and on dark."""


def render(template: str, **context: Any) -> Markup:
    """Fill in one of the templates of the package."""
    return Markup(_environment().get_template(template).render(**context))


def grey_png(pixels: Array) -> str:
    """A grey image (height, width) uint8 as a data address that an `img` holds in itself."""
    return _png(np.repeat(pixels[:, :, None], 3, axis=2))


def weights_png(panel: Panel) -> str:
    """Weights as `grey_png` gives pixels: blue above 0, orange below, the stronger the larger they are.

    Zeros are clear, so that the page shows through, whichever colours it has; what is gone is grey.
    """
    codes = decoded(panel)
    colours = np.zeros((*codes.shape, 4), np.uint8)
    colours[..., :3] = np.where(codes[..., None] > ZERO, BLUE, ORANGE)
    colours[..., 3] = np.abs(codes.astype(np.int16) - ZERO) * 2
    colours[codes == GONE] = GREY
    return _png(colours)


def _png(pixels: Array) -> str:
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


@functools.cache
def _environment() -> jinja2.Environment:
    return html.environment("tinytorch.journey", grey_png=grey_png, weights_png=weights_png)
