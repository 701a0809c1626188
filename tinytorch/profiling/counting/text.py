"""A count as text: totals, the tree of modules, the table of ops, and what no rule covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinytorch.profiling import words
from tinytorch.profiling.counting.flops import FLOPs, ModuleWork
from tinytorch.profiling.report.layout import columned, one_line, wrapped

MOST_LINES = 60
MOST_OPS = 12
CONVENTIONS = {"matmul": "matrix products and convolutions", "all": "every op"}


@dataclass
class _Line:
    """A module of the tree, or several in a row that are alike; `share` is of the whole work."""

    names: list[str]
    row: ModuleWork
    below: tuple[tuple[object, ...], ...]


def text(flops: FLOPs) -> str:
    """Lines of at most 100 columns: totals, modules, ops, and what no rule counts.

    >>> from tinytorch.models import MLP
    >>> from tinytorch.profiling.counting.flops import FLOPCounter
    >>> print(text(FLOPCounter().count(MLP((4, 3)), input_shape=(2, 4))).splitlines()[0])
    MLP: 48 FLOP (matrix products and convolutions), 24 multiply-adds, 116 B moved, 0.414 FLOP a byte.
    """
    parts = [wrapped(_totals(flops)), _tree(flops), _ops(flops), _notes(flops)]
    return "\n\n".join(part for part in parts if part)


def _totals(flops: FLOPs) -> str:
    counted = CONVENTIONS[flops.convention] + (", causal pairs alone" if flops.causal else "")
    parts = [
        f"{flops.name}: {words.count(flops)} FLOP ({counted})",
        f"{words.count(flops.macs)} multiply-adds",
        f"{words.size(flops.bytes)} moved",
    ]
    if flops.intensity is not None:
        parts.append(f"{words.figure(flops.intensity)} FLOP a byte")
    if flops.backward_flops:
        parts.append(f"{words.percent(flops.backward_flops / flops)} of the FLOPs in gradients")
    return ", ".join(parts) + "."


# ---------------------------------------------------------------- modules


def _tree(flops: FLOPs) -> str:
    """A line for each module; those in a row that are alike in all, and in all below them, share one."""
    rows = flops.by_module
    if len(rows) == 1 and not rows[0].kind:
        return ""
    lines, depth = _lines(rows), max(row.depth for row in rows)
    while len(lines) > MOST_LINES and depth > 1:
        depth -= 1
        lines = [line for line in lines if line.row.depth <= depth]
    table = columned(
        "module",
        [_names(line) for line in lines],
        ["FLOP", "share", "moved", "FLOP/B", "parameters"],
        [_cells(line.row, flops) for line in lines],
    )
    meaning = "Each with all below it; [a-b]: several alike, the figures being those of one."
    if depth < max(row.depth for row in rows):
        meaning += f" Only the first {depth} levels are shown; all are in by_module."
    return "\n".join([*table, wrapped(meaning)])


def _lines(rows: Sequence[ModuleWork]) -> list[_Line]:
    """Lines in the order of the tree, a run of siblings that are alike being one."""
    out: list[_Line] = []
    last: dict[int, _Line] = {}
    position = 0
    while position < len(rows):
        row = rows[position]
        end = next((i for i in range(position + 1, len(rows)) if rows[i].depth <= row.depth), len(rows))
        line = _Line([_name(row)], row, tuple(_figures(inner, row) for inner in rows[position:end]))
        before = last.get(row.depth)
        if before is not None and line.names[0].isdigit() and before.below == line.below:
            before.names.append(line.names[0])
            position = end
            continue
        last = {depth: known for depth, known in last.items() if depth < row.depth} | {row.depth: line}
        out.append(line)
        position += 1
    return out


def _name(row: ModuleWork) -> str:
    return row.path.rpartition(".")[2]


def _figures(row: ModuleWork, top: ModuleWork) -> tuple[object, ...]:
    """All that a line says of a module, with its path from `top` on."""
    path = row.path[len(top.path) :]
    return path, row.kind, row.calls, row.flops, row.bytes, row.parameters


def _names(line: _Line) -> tuple[str, ...]:
    names, kind = line.names, one_line(line.row.kind)
    name = one_line(names[0]) if len(names) == 1 else f"[{names[0]}-{names[-1]}]"
    indent = " " * min(line.row.depth, 12)
    if not name:
        return (kind or "(the call itself)",)
    return (f"{indent}{name} {kind}".rstrip(), f"{indent}{name}")


def _cells(row: ModuleWork, flops: FLOPs) -> list[str]:
    return [
        words.count(row.flops),
        words.percent(row.flops / flops) if flops else words.NOTHING,
        words.size(row.bytes),
        words.figure(row.intensity),
        words.count(row.parameters) if row.parameters else "",
    ]


# ---------------------------------------------------------------- ops and notes


def _ops(flops: FLOPs) -> str:
    """The ops that take the most FLOPs, then those that move the most bytes."""
    if not flops.by_op:
        return "No op of TinyTorch ran."
    shown, rest = flops.by_op[:MOST_OPS], flops.by_op[MOST_OPS:]
    rows = [
        [
            words.count(op.calls),
            words.count(op.flops) if op.counted else "no rule",
            words.percent(op.flops / flops) if flops and op.counted else words.NOTHING,
            words.size(op.bytes),
            words.figure(op.intensity) if op.counted else words.NOTHING,
        ]
        for op in shown
    ]
    names = [(one_line(op.name),) for op in shown]
    if rest:
        names.append((f"{len(rest)} more",))
        calls, work, moved = (sum(getattr(op, what) for op in rest) for what in ("calls", "flops", "bytes"))
        share = words.percent(work / flops) if flops else words.NOTHING
        rows.append([words.count(calls), words.count(work), share, words.size(moved), ""])
    return "\n".join(columned("op", names, ["calls", "FLOP", "share", "moved", "FLOP/B"], rows))


def _notes(flops: FLOPs) -> str:
    """Coverage, the ops that have no rule, and notes."""
    found = [f"Coverage: {words.percent(flops.coverage)} of the ops have a rule."]
    if flops.uncounted:
        missing = ", ".join(f"{name} ({words.count(calls)})" for name, calls in flops.uncounted.items())
        found.append(f"Not counted, for want of a rule (calls): {missing}.")
    found += [f"Note: {note}." for note in flops.notes]
    return "\n".join(wrapped(line, "  ") for line in found)
