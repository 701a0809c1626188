"""Pictures made of characters, which any terminal shows, and drawings that come out the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHADES = " .:-=+*#%@"


def shades(image: Any, low: float | None = None, high: float | None = None, wide: int = 2) -> list[str]:
    """The lines of an image (height, width), a pixel as `wide` characters, from `low` (blank) to `high`.

    Bounds that are not given are those of the image.

    >>> shades(np.array([[0.0, 0.5], [1.0, 0.0]]))
    ['  ++', '@@  ']
    """
    values = np.asarray(image, np.float64)
    bottom = values.min() if low is None else low
    top = values.max() if high is None else high
    steps = (values - bottom) / (top - bottom or 1.0) * len(SHADES)
    places = np.clip(np.nan_to_num(steps), 0, len(SHADES) - 1).astype(int)
    return ["".join(SHADES[i] * wide for i in row) for row in places]


def beside(*blocks: Sequence[str], gap: int = 3) -> list[str]:
    """Blocks of lines set side by side.

    >>> beside(["ab", "c"], ["x", "y"])
    ['ab   x', 'c    y']
    """
    widths = [max(map(len, block), default=0) for block in blocks]
    rows = zip_longest(*blocks, fillvalue="")
    return [
        (" " * gap).join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def titled(title: str, block: Sequence[str]) -> list[str]:
    """A block of lines under a title.

    >>> titled("four", ["@@"])
    ['four', '@@']
    """
    return [title, *block]


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure as an SVG without a date or random names in it, and close it."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "tinytorch"}):
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
