"""Results and boards as text."""

from __future__ import annotations

from tinytorch.benchmarking.events import event
from tinytorch.benchmarking.ratio import Ratio
from tinytorch.benchmarking.result import Figures, Ratios, Result
from tinytorch.benchmarking.store.boards import BoardView
from tinytorch.profiling import words

NAMES = {
    "single": "single queries",
    "offline": "offline",
    "speed": "speed",
    "memory": "memory",
    "size": "size of the file",
    "accuracy": "quality",
    "overall": "overall",
}


def ratios_rows(ratios: Ratios) -> list[tuple[str, Ratio]]:
    """All ratios with their names in words."""
    return [(text, getattr(ratios, name)) for name, text in NAMES.items()]


def result_text(result: Result) -> str:
    """A result in some lines: the verdict, the figures of baseline and entry, ratios, techniques, labels."""
    one = event(result.event)
    head = f"{one.title}, {result.division} division, {result.team}: {'valid' if result.valid else 'INVALID'}"
    lines = [head, *(f"  {reason}" for reason in result.reasons)]
    if result.figures is not None and result.base is not None and result.ratios is not None:
        rows = [["", "baseline", "entry"], *figures_rows(result.base, result.figures, one.quality)]
        lines += ["", *words.columns(rows, left=(0,)), ""]
        lines += words.columns(
            [[name, words.times(r.estimate())] for name, r in ratios_rows(result.ratios)], left=(0,)
        )
    if result.techniques:
        lines += ["", *(f"{t.name} ({t.kind}): {t.evidence}" for t in result.techniques)]
    if result.control is not None:
        lines += ["", f"a copy of the baseline beside it: {words.times(result.control.estimate())}"]
    return "\n".join([*lines, f"[{'; '.join(result.labels)}]"])


def figures_rows(base: Figures, own: Figures, quality: str) -> list[list[str]]:
    """Rows of name, baseline and entry."""
    rows = [
        [f"{name}", words.seconds(base.latency[name].value), words.seconds(own.latency[name].value)]
        for name in own.latency
    ]
    return [
        *rows,
        ["offline, samples/s", f"{base.throughput.value:,.0f}", f"{own.throughput.value:,.0f}"],
        ["memory", words.size(base.memory), words.size(own.memory)],
        ["file", words.size(base.file), words.size(own.file)],
        [quality, f"{base.quality:.4f}", f"{own.quality:.4f}"],
        [f"{quality}, data changed", f"{base.transformed:.4f}", f"{own.transformed:.4f}"],
    ]


def board_text(board: BoardView) -> str:
    """A board as a table; shared ranks have an equals sign."""
    title = f"{event(board.event).title}, {board.division}, by {board.by}"
    if not board.places:
        return f"{title}: no entries yet"
    rows = [["rank", "team", board.by, "quality", "file", "memory", "techniques", "record"]]
    for place in board.places:
        says = place.row.summary
        rows.append(
            [
                f"{place.rank}{'=' if place.shared else ''}",
                place.row.team,
                words.times(place.ratio),
                f"{says.quality:.4f}",
                words.size(says.file),
                words.size(says.memory),
                ", ".join(t.name for t in says.techniques) or "-",
                "record" if place.record else "",
            ]
        )
    first, *rest = words.columns(rows, left=(1, 6, 7))
    return "\n".join([title, f"machine {board.fingerprint}", first, "-" * len(first), *rest])
