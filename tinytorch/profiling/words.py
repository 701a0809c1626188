"""Figures as people read them: times, sizes, work, rates and estimates with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence

from tinytorch.profiling.statistics import Estimate

NOTHING = "-"
NARROW = 0.05  # an interval that narrow, over its value, is shown with a decimal more
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SPANS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "\u00b5s"))


def figure(value: float | None, digits: int = 3) -> str:
    """A number with three significant figures, or as many as its whole part has; None and NaN are "-".

    >>> figure(0.08333), figure(12.345), figure(1234567.8), figure(None)
    ('0.0833', '12.3', '1,234,568', '-')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value != 0 and not 1e-4 <= abs(value) < 1e12:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{_decimals(value, digits)}f}"


def seconds(value: float | None) -> str:
    """A span of time with three figures and a unit that suits it.

    >>> seconds(0.0123), seconds(0.000456), seconds(75.2)
    ('12.3 ms', '456 \u00b5s', '75.2 s')
    """
    if value is None or not math.isfinite(value):
        return figure(value)
    size, unit = span(value)
    return f"{figure(value / size)} {unit}"


def span(value: float) -> tuple[float, str]:
    """The unit that suits a span of time, in seconds, and its name.

    >>> span(0.0123)
    (0.001, 'ms')
    """
    return next((s for s in _SPANS if abs(value) >= 0.9995 * s[0]), _SPANS[-1])


def percent(part: float | None) -> str:
    """A share in percent, with one decimal.

    >>> percent(0.8912)
    '89.1 %'
    """
    return NOTHING if part is None or not math.isfinite(part) else f"{part * 100:.1f} %"


def count(number: float) -> str:
    """A number with its thousands set apart.

    >>> count(842496)
    '842,496'
    """
    return f"{number:,.0f}"


def size(number: float | None) -> str:
    """An amount of memory, in bytes.

    >>> size(437_544), size(None)
    ('427.3 KiB', '-')
    """
    from tinytorch.console import quantity

    if number is None:
        return NOTHING
    return "-" + quantity(-number, "B") if number < 0 else quantity(number, "B")


def work(flops: float | None) -> str:
    """An amount of work, in FLOPs.

    >>> work(301_989_888), work(None)
    ('302 MFLOP', '-')
    """
    return _prefixed(flops, "FLOP")


def rate(flops: float | None) -> str:
    """Work in a second.

    >>> rate(31.25e9)
    '31.2 GFLOP/s'
    """
    return _prefixed(flops, "FLOP/s")


def bandwidth(bytes_: float | None) -> str:
    """Bytes moved in a second, in powers of ten as bandwidths are given.

    >>> bandwidth(12.34e9)
    '12.3 GB/s'
    """
    return _prefixed(bytes_, "B/s")


def timed(estimate: Estimate) -> str:
    """A span of time with its interval, if it has one; an end that nothing bounds is "-".

    >>> timed(Estimate(0.0123, 0.0121, None))
    '12.3 ms [12.1, -]'
    """
    if not math.isfinite(estimate.value):
        return seconds(estimate.value)
    scale, unit = span(estimate.value)
    if estimate.low is estimate.high is None:
        return seconds(estimate.value)
    value, low, high = ends(estimate, scale)
    return f"{value} {unit} [{low}, {high}]"


def ends(estimate: Estimate, scale: float = 1.0, digits: int = 3) -> tuple[str, str, str]:
    """Value, low and high end over `scale`, with as many decimals as the value and its interval need.

    >>> ends(Estimate(12.345, 12.301, 12.389))
    ('12.35', '12.30', '12.39')
    """
    found = [None if x is None else x / scale for x in (estimate.value, estimate.low, estimate.high)]
    finite = [x for x in found if x is not None and math.isfinite(x)]
    widths = [w for w in (abs(x - finite[0]) for x in finite[1:]) if w > 0] if len(finite) > 1 else []
    decimals = _decimals(finite[0], digits) if finite else 0
    if widths:
        decimals = max(decimals, min(_decimals(min(widths), 1), _decimals(finite[0], digits + 1)))
    shown = (f"{x:,.{decimals}f}" if x is not None and math.isfinite(x) else figure(x) for x in found)
    value, low, high = shown
    return value, low, high


def shared(estimate: Estimate) -> str:
    """A share with its interval.

    >>> shared(Estimate(0.731, 0.702, 0.76))
    '73.1 % [70.2, 76.0]'
    """
    return _ranged(estimate, lambda x: figure(None) if not math.isfinite(x) else f"{x * 100:.1f}", " %")


def times(estimate: Estimate) -> str:
    """A ratio with its interval, with a decimal more where that is narrow; an exact one has none.

    >>> times(Estimate(1.43, 1.39, 1.47)), times(Estimate(1.012, 1.003, 1.021)), times(Estimate(2, 2, 2))
    ('1.43x [1.39, 1.47]', '1.012x [1.003, 1.021]', '2.00x')
    """
    if estimate.low == estimate.value == estimate.high:
        return f"{estimate.value:.2f}x"
    ends = [end for end in (estimate.low, estimate.high) if end is not None and math.isfinite(end)]
    narrow = len(ends) == 2 and ends[1] - ends[0] < NARROW * abs(estimate.value)
    decimals = 3 if narrow else 2
    return _ranged(estimate, lambda x: f"{x:.{decimals}f}" if math.isfinite(x) else figure(x), "x")


def faster(ratio: float) -> str:
    """A time before over one after; near to 1 with a digit more.

    >>> faster(2.0), faster(0.5), faster(0.98)
    ('2.0x faster', '2.0x slower', '1.02x slower')
    """
    change = max(ratio, 1 / ratio)
    return f"{change:.{1 if change >= 1.1 else 2}f}x {'faster' if ratio > 1 else 'slower'}"


def printable(text: str) -> str:
    """Text with what a page cannot show replaced: control characters other than line ends and tabs.

    >>> printable("a\\x00b\\n")
    'a\ufffdb\\n'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def columns(rows: Sequence[Sequence[str]], left: Container[int]) -> list[str]:
    """Rows of cells as lines: the columns `left` set flush left, the others flush right.

    >>> columns([["mlp", "5.8 us"], ["minilm", "35 ms"]], left=[0])
    ['mlp     5.8 us', 'minilm   35 ms']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return lines


def _ranged(estimate: Estimate, word: Callable[[float], str], unit: str) -> str:
    if estimate.low is estimate.high is None:
        return word(estimate.value) + unit
    low, high = (NOTHING if end is None else word(end) for end in (estimate.low, estimate.high))
    return f"{word(estimate.value)}{unit} [{low}, {high}]"


def _prefixed(value: float | None, unit: str) -> str:
    if value is None or not math.isfinite(value):
        return figure(value)
    for power, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * power:
            return f"{figure(value / power)} {prefix}{unit}"
    return f"{figure(value)} {unit}"


def _decimals(value: float, digits: int) -> int:
    """Decimals that show `digits` significant figures of a number once it is rounded."""
    if value == 0:
        return 0
    return min(12, max(0, digits - 1 - math.floor(math.log10(abs(value) * (1 + 0.5 * 10**-digits)))))
