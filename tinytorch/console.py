"""The one place that speaks: results, notices, tables, progress; plain ASCII where a console needs it."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import sys
import textwrap
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from rich.box import Box

_DRAWN = "\u2500\u2502\u250c\u2501\u2578\u2581\u2588\u2026"  # what tables, bars and sparks are drawn with
_BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_ASCII_BARS = "_.-=+*#@"
_ASCII = str.maketrans(
    {
        "\u00d7": "x",
        "\u00b5": "u",
        "\u03bc": "u",
        "\u00b1": "+/-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2212": "-",
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2026": "...",
        "\u2192": "->",
        "\u2264": "<=",
        "\u2265": ">=",
    }
)
_FIGURE = re.compile(r"[-+]?(\d[\d,]*(\.\d+)?(e[-+]?\d+)?|nan|inf)( ?[%x]| [A-Za-z/%]+)?")
_REDRAW = 0.1  # seconds between two drawings of a bar on a terminal
_REPORT = 5.0  # seconds between two lines of progress anywhere else

Field = float | int | str


def draws(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows more than plain ASCII.

    >>> draws(io.StringIO())
    False
    """
    return _terminal(stream) and _holds(_DRAWN, _encoding(stream))


def plain(text: str, encoding: str = "ascii") -> str:
    """Return `text` with its signs spelled out in ASCII, and what `encoding` cannot show as a question mark.

    Letters that the encoding has stay: the names of files are theirs.

    >>> plain("3 \u00d7 2 \u2192 6 in \u00e9t\u00e9"), plain("\u00e9t\u00e9", "latin-1") == "\u00e9t\u00e9"
    ('3 x 2 -> 6 in ?t?', True)
    """
    spelled = text.translate(_ASCII)
    try:
        return spelled.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return spelled.encode("ascii", "replace").decode("ascii")


def width() -> int:
    """Columns of the console (`COLUMNS` wins); 100 where there is no terminal to ask."""
    return max(20, shutil.get_terminal_size((100, 24)).columns)


def duration(seconds: float) -> str:
    """Return a span of time as people read it: minutes and seconds, with hours in front where there are any.

    Seconds are rounded down and have two digits, and so have minutes after hours.

    >>> duration(0.4), duration(75), duration(7384)
    ('0:00', '1:15', '2:03:04')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def quantity(amount: float, unit: str) -> str:
    """Return an amount with its unit, as people read it.

    Bytes (unit "B") are shown in the largest of B, KiB, MiB and GiB, each 1024 times the one before, of which
    they fill at least one (else B); with one decimal from KiB on, none in B. Anything else has commas between
    thousands and no decimals from 10 on or where the amount is whole, and else two significant digits
    (format ".2g").

    >>> quantity(51234, "images"), quantity(3.2 * 2**20, "B"), quantity(2.5, "steps")
    ('51,234 images', '3.2 MiB', '2.5 steps')
    """
    if unit == "B":
        power = 0
        while amount >= 1024 and power < 3:
            amount, power = amount / 1024, power + 1
        return f"{amount:.{1 if power else 0}f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
    return f"{amount:,.0f} {unit}" if amount >= 10 or amount == int(amount) else f"{amount:.2g} {unit}"


def _folded(line: str) -> str:
    """A line in as many as the console needs; a word that is longer than one stays whole, to be copied."""
    return textwrap.fill(line, width(), break_long_words=False, break_on_hyphens=False)


class Progress:
    """A bar on a terminal, a line every few seconds elsewhere, nothing when quiet; see `Console.progress`."""

    def __init__(self, console: Console, total: int | None, description: str, unit: str) -> None:
        self.total = total
        self.description = description
        self.unit = unit
        self.done = 0
        self._console = console
        self._fields: dict[str, Field] = {}
        self._begun = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque(maxlen=64)
        self._shown = self._begun
        self._drawn = 0

    def update(self, done: int, **fields: Field) -> None:
        """Say how many items are done, with figures to show beside the bar (`loss=0.31`)."""
        now = time.monotonic()
        if not self._marks:
            self._marks.append((now, done))
            self._shown = now if not self._console.live else 0.0
        self.done = done
        self._fields.update(fields)
        if not self._console.quiet and now - self._shown >= (_REDRAW if self._console.live else _REPORT):
            self._show(now)

    def clear(self) -> None:
        """Take the bar off the terminal, so that a line can be written in its place."""
        if self._drawn:
            self._console.write_err("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def line(self, columns: int, strokes: str, now: float) -> str:
        """The state in one line of at most `columns` characters; the bar yields first, then the end."""
        if not self.total:
            parts = [quantity(self.done, self.unit)]
        elif self.unit == "B":
            parts = [f"{quantity(self.done, 'B')} of {quantity(self.total, 'B')}"]
        else:
            parts = [f"{self.done:,}/{self.total:,} {self.unit}"]
        rate = self._rate(now)
        finished = self.total is not None and self.done >= self.total
        if rate and not finished:
            parts.append(f"{quantity(rate, self.unit)}/s")
            if self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        if finished:
            parts.append(f"in {duration(now - self._begun)}")
        parts += [f"{name} {_figure(value)}" for name, value in self._fields.items()]
        text = "  ".join(parts)
        room = columns - len(self.description) - len(text) - 4
        bar = bar_text(self.done / self.total, min(room, 30), strokes) if self.total and room >= 8 else ""
        return "  ".join(part for part in (self.description, bar, text) if part)[:columns]

    def _rate(self, now: float) -> float:
        """Items a second over the last drawings, so that a slow start does not spoil the time left."""
        if not self._marks or now <= self._marks[0][0]:
            return 0.0
        then, before = self._marks[0]
        return max(0.0, (self.done - before) / (now - then))

    def _show(self, now: float) -> None:
        self._shown = now
        self._marks.append((now, self.done))
        if self._console.live:
            strokes = "\u2501\u2500" if draws(sys.stderr) else "#."
            line = self._console.fit(self.line(width() - 1, strokes, now))
            self._console.write_err("\r" + line.ljust(self._drawn))
            self._drawn = len(line)
        else:
            self._console.write_err(plain(self.line(1000, "", now)) + "\n")

    def __enter__(self) -> Progress:
        self._console.bars.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._marks and not self._console.quiet:
            self._show(time.monotonic())
            if self._console.live:
                self._console.write_err("\n")
            self._drawn = 0
        self._console.bars.remove(self)


class Console:
    """Writes results to standard output, notices and progress to standard error; `get()` returns it."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bars: list[Progress] = []

    @property
    def unicode(self) -> bool:
        """Whether standard output shows more than plain ASCII."""
        return draws(sys.stdout)

    @property
    def live(self) -> bool:
        """Whether standard error is a terminal on which a line can be drawn again."""
        return _terminal(sys.stderr)

    def say(self, text: str = "") -> None:
        """Write a result: it appears even when quiet."""
        self._clear()
        sys.stdout.write((text if self.unicode else plain(text, _encoding(sys.stdout))) + "\n")
        sys.stdout.flush()

    def stream(self, text: str) -> None:
        """Write a piece of a text that is not ours, which goes on where it ends: what can be shown stays."""
        encoding = _encoding(sys.stdout)
        sys.stdout.write("".join(sign if _holds(sign, encoding) else plain(sign, encoding) for sign in text))
        sys.stdout.flush()

    def notice(self, text: str) -> None:
        """Write a remark to standard error, unless quiet."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Write an error to standard error, quiet or not; folded between words on a terminal."""
        self._clear()
        if sys.stderr.isatty():
            text = "\n".join(_folded(line) for line in text.splitlines())
        self.write_err(self.fit(text) + "\n")

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str | None = None
    ) -> None:
        """Write a table; a column that holds figures only is set flush right, and wide cells are folded."""
        from rich import box

        style = (
            box.SIMPLE_HEAD if self.unicode else box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n")
        )
        self.say(_table(title, columns, rows, style, _terminal(sys.stdout) and os.name != "nt"))
        if note:
            self.say(note)

    def progress(self, total: int | None, description: str, unit: str = "it") -> Progress:
        """Return a context manager whose `update(done, loss=...)` moves a bar; `total` None: not known."""
        return Progress(self, total, description, unit)

    def spark(self, values: Sequence[float], columns: int = 40) -> str:
        """Return a small chart of `values` in one line, low to high; `x` marks what is not finite."""
        return sparkline(values, columns, _BARS if self.unicode else _ASCII_BARS)

    def fit(self, text: str) -> str:
        """Return `text` as standard error can show it."""
        return text if draws(sys.stderr) else plain(text, _encoding(sys.stderr))

    def write_err(self, text: str) -> None:
        """Write `text` to standard error as it is."""
        sys.stderr.write(text)
        sys.stderr.flush()

    def _clear(self) -> None:
        for bar in self.bars:
            bar.clear()


def _encoding(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "ascii"


def _holds(text: str, encoding: str) -> bool:
    """Whether an encoding has all signs of a text."""
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _figure(value: Field) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def bar_text(part: float, columns: int, strokes: str) -> str:
    """Return a bar of `columns` characters, of which `part` (0 to 1, rounded) shows what is done.

    `strokes`: the character of what is done and the one of what is not; with none ("") there is no bar.
    A part below 0 draws an empty bar, one above 1 a full one.

    >>> bar_text(0.5, 8, "#."), bar_text(1.5, 4, "#.")
    ('####....', '####')
    """
    full = round(min(max(part, 0.0), 1.0) * columns)
    return strokes[:1] * full + strokes[1:] * (columns - full)


def sparkline(values: Sequence[float], columns: int, strokes: str) -> str:
    """Return a chart of `values` in one line: a character for each, or `columns` characters if they are more.

    More values than columns are averaged in groups: group i of k is values[i * n // k : (i + 1) * n // k].
    The range from the lowest to the highest is cut into equal steps, one for each of the `strokes`, lowest
    first; the highest takes the last stroke, and where all are equal they take the first. "x" marks a mean
    that is not finite, and the range leaves it out. The difference of two finite means may be more than a
    float holds: halve both before you subtract. No values give "".

    >>> sparkline([0.0, 1.0, 2.0, 4.0], 40, "_-=#")
    '_-=#'
    """
    n, k = len(values), min(len(values), columns)
    groups = [values[i * n // k : (i + 1) * n // k] for i in range(k)]
    means = [sum(group) / len(group) for group in groups]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    half = (high / 2 - low / 2) or 1.0  # by halves, or the difference of two huge ones is infinite
    last = len(strokes) - 1
    return "".join(
        strokes[min(last, int((mean / 2 - low / 2) / half * len(strokes)))] if math.isfinite(mean) else "x"
        for mean in means
    )


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], style: Box, colours: bool
) -> str:
    """The lines of a table; where the console is too narrow for one, a list of its rows."""
    from rich.console import Console as Rich
    from rich.table import Table
    from rich.text import Text

    cells = [[_figure(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=style,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    needed = 2 * (len(columns) - 1)
    for i, name in enumerate(columns):
        column = [row[i] for row in cells]
        figures = bool(cells) and all(_FIGURE.fullmatch(cell) or cell in ("", "-") for cell in column)
        parts = [name, *column] if figures else [word for cell in (name, *column) for word in cell.split()]
        least = max(map(len, parts), default=1) if figures else min(max(map(len, parts), default=1), 12)
        table.add_column(Text(name), justify="right" if figures else "left", overflow="fold", min_width=least)
        needed += least
    if needed > width():
        return _list(title, columns, cells)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    page = io.StringIO()
    Rich(
        file=page,
        width=width(),
        force_terminal=colours,
        color_system="standard" if colours else None,
        no_color="NO_COLOR" in os.environ,
        legacy_windows=False,
        safe_box=False,
    ).print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def _list(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """The rows one below the other, each cell on a line with the name of its column."""
    margin = max(map(len, columns))
    lines = [title]
    for row in cells:
        lines += [""] + [f"{name.ljust(margin)}  {cell}" for name, cell in zip(columns, row, strict=True)]
    return "\n".join(lines)


_current = Console()


def get() -> Console:
    """Return the console in use."""
    return _current


def set_quiet(quiet: bool) -> None:
    """Silence notices and progress, or let them speak again; results and errors always appear."""
    _current.quiet = quiet


def say(text: str = "") -> None:
    """Write a result to standard output."""
    _current.say(text)


def stream(text: str) -> None:
    """Write a piece of a result to standard output, which goes on where it ends."""
    _current.stream(text)


def notice(text: str) -> None:
    """Write a remark to standard error, unless quiet."""
    _current.notice(text)


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str | None = None
) -> None:
    """Write a table to standard output.

    >>> table("Squares", ["n", "n * n"], [[2, 4], [10, 100]])
    Squares
     n  n * n
    ---------
     2      4
    10    100
    """
    _current.table(title, columns, rows, note)


def progress(total: int | None, description: str, unit: str = "it") -> Progress:
    """Return a context manager that shows how far along a piece of work is, on standard error.

    >>> with progress(3, "counting") as bar:
    ...     for i in range(3):
    ...         bar.update(i + 1, loss=1 / (i + 1))
    """
    return _current.progress(total, description, unit)


def spark(values: Sequence[float], columns: int = 40) -> str:
    """Return a small chart of `values` in one line.

    >>> spark([8.0, 4.0, 2.0, 1.0, 0.5])
    '@=.__'
    """
    return _current.spark(values, columns)
