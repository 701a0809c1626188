"""Text in lines that fit: paragraphs, names, and tables of figures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tinytorch.profiling import words

COLUMNS = 100
LEAST_NAME = 18


def wrapped(paragraph: str, indent: str = "", first: str = "") -> str:
    """A paragraph in lines that fit; what no console can show is replaced."""
    return textwrap.fill(
        one_line(paragraph), COLUMNS, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )


def one_line(text: str) -> str:
    """Text in a single line, with what cannot be shown replaced.

    >>> one_line("a\\nb\\x1b[31m")
    'a b\ufffd[31m'
    """
    return words.printable(" ".join(text.split()))


def columned(
    heading: str,
    names: Sequence[tuple[str, ...]],
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> list[str]:
    """Lines of a table of at most 100 columns: names to the left, figures to the right.

    Each name comes in one or several lengths; where none fits, the last is shortened.
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    room = max(LEAST_NAME, COLUMNS - sum(width + 2 for width in widths))
    room = min(room, max(len(heading), *(len(lengths[0]) for lengths in names)))
    firsts = [next((n for n in lengths if len(n) <= room), shortened(lengths[-1], room)) for lengths in names]
    lines = [
        first.ljust(room) + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for first, cells in zip((heading, *firsts), (headings, *rows), strict=True)
    ]
    lines.insert(1, "-" * len(lines[0]))
    return [line.rstrip() for line in lines]


def shortened(name: str, room: int) -> str:
    """A name that fits, its middle left out.

    >>> shortened("attention.projection", 12)
    'atten..ction'
    """
    if len(name) <= room:
        return name
    head = (room - 2) // 2
    return f"{name[:head]}..{name[len(name) - (room - 2 - head) :]}"
