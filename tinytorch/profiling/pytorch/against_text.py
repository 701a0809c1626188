"""What `Against` says to people: the verdict, where the difference lies and why, and a table by module."""

from __future__ import annotations

import math
from textwrap import wrap

from tinytorch.profiling import words
from tinytorch.profiling.pytorch.against_rows import Against, AgainstRow, side_of

WIDTH = 98
SHOWN = 16
"""Rows of the table; those that explain least are summed up in one more."""


def text(one: Against) -> str:
    """The whole report, at most 100 columns wide."""
    return "\n".join((*_head(one), "", *_where(one), "", *_table(one), "", *_notes(one)))


def _head(one: Against) -> list[str]:
    settings = one.configuration
    rest = "; ".join(f"{key}: {value}" for key, value in settings.items() if key != "runs")
    return [
        f"{one.name}: {one.verdict}",
        f"{words.timed(one.ours)} and {words.timed(one.torch)}: medians of {settings.get('runs', '-')} "
        "passes each, in random turns",
        *wrap(f"{rest}; outputs agree to {one.error:.1g}", WIDTH),
    ]


def _where(one: Against) -> list[str]:
    """The sentences that answer where and why, as far as the intervals support them."""
    sign = side_of(one.difference)
    if not sign:
        return ["Where: whole passes show no difference to explain."]
    if side_of(one.watched) != sign:
        return wrap(
            "Where: watched passes do not show the difference that unwatched ones show, so modules cannot be "
            "told apart. Try more runs, or a larger input.",
            WIDTH,
        )
    top = [row for row in one.groups if side_of(row.difference) == sign][:3]
    parts = ", ".join(f"{row.path or '(root)'} {words.percent(row.share)}" for row in top)
    more = f"{words.seconds(abs(one.difference.value))} {'more' if sign > 0 else 'less'} a pass"
    outside = one.watched.value - one.in_kernels
    return [
        *wrap(f"Where: {more}" + (f"; of that {parts}" if parts else ", no module alone shows it"), WIDTH),
        f"Why: kernels {_signed(one.in_kernels)}, what is between them {_signed(outside)}",
    ]


def _signed(seconds: float) -> str:
    return ("-" if seconds < 0 else "+") + words.seconds(abs(seconds))


def _table(one: Against) -> list[str]:
    """At most SHOWN groups, what explains most first, and the rest in one line."""
    shown, rest = one.groups[:SHOWN], one.groups[SHOWN:]
    lines = [_line("module", "TinyTorch", "PyTorch", "ratio", "more", "share", "in kernels")]
    for row in shown:
        lines.append(
            _line(
                row.path or "(root)",
                words.seconds(row.ours.value),
                words.seconds(row.torch.value),
                words.NOTHING if row.ratio is None else words.times(row.ratio),
                _signed(row.difference.value),
                words.percent(row.share),
                _signed(row.in_kernels),
            )
        )
    if rest:
        sums = [math.fsum(values) for values in zip(*map(_figures, rest), strict=True)]
        share = None if rest[0].share is None else math.fsum(row.share or 0 for row in rest)
        lines.append(
            _line(
                f"{len(rest)} others",
                words.seconds(sums[0]),
                words.seconds(sums[1]),
                words.NOTHING,
                _signed(sums[2]),
                words.percent(share),
                _signed(sums[3]),
            )
        )
    return lines


def _figures(row: AgainstRow) -> tuple[float, float, float, float]:
    return row.ours.value, row.torch.value, row.difference.value, row.in_kernels


def _line(module: str, ours: str, theirs: str, ratio: str, more: str, share: str, kernels: str) -> str:
    name = module if len(module) <= 26 else f"...{module[-23:]}"
    return f"{name:<26} {ours:>9} {theirs:>9} {ratio:>20} {more:>9} {share:>8} {kernels:>10}".rstrip()


def _notes(one: Against) -> list[str]:
    return [line for note in one.notes for line in wrap(note, WIDTH)]
