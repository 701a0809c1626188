"""The report as text: the verdict first, then a tree of modules, what follows from it, and notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinytorch.profiling import words
from tinytorch.profiling.profile import MemoryUse, Profile, Timing
from tinytorch.profiling.report.layout import COLUMNS, LEAST_NAME, columned, one_line, wrapped
from tinytorch.profiling.report.outline import Line, groups, label, outline, verdict
from tinytorch.profiling.statistics import inflation, runs_needed

SPARE = ("with", "FLOP/B", "95 % interval", "peak", "back")  # columns to leave out where all are too wide
MOST_OPS = 8
MOST_GROUPS = 10
MOST_OF_IT = 0.8
MOST_SPOTS = 12


@dataclass(frozen=True)
class Column:
    """A column of figures: its heading and what a line says in it."""

    heading: str
    cell: Callable[[Line], str]


def text(profile: Profile) -> str:
    """The report in lines of at most 100 columns."""
    parts = [
        wrapped(verdict(profile)),
        "\n".join(_facts(profile)),
        _tree(profile),
        _groups(profile),
        _ops(profile),
        _hotspots(profile),
        _listed("Insights", [insight.text for insight in profile.insights]),
        _listed("Notes", remarks(profile)),
    ]
    return "\n\n".join(part for part in parts if part)


def remarks(profile: Profile) -> list[str]:
    """The notes of a profile, and what its figures leave out."""
    found = list(profile.notes)
    for part in (profile.roof, profile.memory):
        found += part.notes if part is not None else ()
    if profile.uncounted:
        found.append(
            f"not counted, for want of a rule: the FLOPs of {', '.join(profile.uncounted)}; "
            f"{words.percent(profile.coverage)} of the ops are counted"
        )
    return list(dict.fromkeys(found))


def _listed(title: str, items: Sequence[str]) -> str:
    return "\n".join([title, *(wrapped(item, "  ", "- ") for item in items)]) if items else ""


# ---------------------------------------------------------------- the pass as a whole


def _facts(profile: Profile) -> list[str]:
    """Time, work and memory of a pass, a line each."""
    facts: list[tuple[str, str]] = []
    if profile.timing is not None:
        facts += timing_facts(profile.timing)
    if profile.overhead is not None:
        facts.append(("watched", f"{words.times(profile.overhead)} the time of a pass that nobody watches"))
    if profile.ops or profile.modules:
        facts.append(("work", _work(profile)))
    if profile.memory is not None:
        facts += memory_facts(profile.memory)
    if profile.roof is not None:
        roof = profile.roof
        levels = ", ".join(f"{name} {words.bandwidth(b)}" for name, b in roof.bandwidths.items())
        threads = f"{roof.threads} thread{'s' if roof.threads != 1 else ''}"
        facts.append(("machine", f"at most {words.rate(roof.flops)} ({roof.dtype}, {threads}); {levels}"))
    if profile.configuration:
        facts.append(("setup", ", ".join(f"{k} {v}" for k, v in profile.configuration.items())))
    margin = max((len(name) for name, _ in facts), default=0) + 2
    return [wrapped(fact, " " * margin, f"{name:{margin}}") for name, fact in facts]


def timing_facts(timing: Timing) -> list[tuple[str, str]]:
    """Percentiles, mean and outliers of the passes that nobody watched."""
    if len(timing.samples) == 1:
        return [("time", f"{words.seconds(timing.p50.value)}, one run: it has no interval")]
    percentiles = [
        f"{name} {words.timed(e)}"
        for name, e in (("p50", timing.p50), ("p95", timing.p95), ("p99", timing.p99))
    ]
    facts = [
        ("time", ", ".join(percentiles)),
        ("", f"mean {words.timed(timing.mean)}, {spread(timing)}"),
    ]
    open_ended = unbounded(timing)
    return [*facts, ("", open_ended)] if open_ended else facts


def spread(timing: Timing) -> str:
    """How far the times scatter, over how many runs."""
    odd = timing.mild_outliers + timing.severe_outliers
    return (
        f"std {words.seconds(timing.std)}, {words.seconds(timing.min)} to {words.seconds(timing.max)}; "
        f"{len(timing.samples)} runs after {timing.warmup}, {odd} outlier{'s' if odd != 1 else ''} "
        f"({timing.severe_outliers} severe), none dropped"
    )


def unbounded(timing: Timing) -> str:
    """How many runs bound the percentiles that these cannot; "" where all are bounded."""
    needed = [
        f"{name} needs {runs_needed(q, inflation([s <= e.value for s in timing.samples])):,}"
        for name, q, e in (("p50", 0.5, timing.p50), ("p95", 0.95, timing.p95), ("p99", 0.99, timing.p99))
        if e.high is None
    ]
    if not needed:
        return ""
    return f"{len(timing.samples)} runs leave an end open: {', '.join(needed)} for both"


def _work(profile: Profile) -> str:
    """FLOPs, bytes and intensity; the rate at which they went by, where the time is known."""
    flops = words.work(profile.flops) if profile.flops is not None else "FLOPs not all counted"
    parts = [
        f"{flops} (matrix products {words.work(profile.matmul_flops)})",
        f"{words.size(profile.bytes)} moved",
    ]
    if profile.flops is not None and profile.bytes:
        parts.append(f"{words.figure(profile.flops / profile.bytes)} FLOP a byte")
    if profile.flops and profile.timing is not None:
        parts.append(words.rate(profile.flops / profile.timing.p50.value))
    return ", ".join(parts)


def memory_facts(memory: MemoryUse) -> list[tuple[str, str]]:
    """Peak and what stays, of traced blocks and of the process; what a model's memory consists of."""
    slope = memory.slope if memory.pattern == "growing" else None
    trend = ""
    if slope is not None and slope.low is not None and slope.high is not None:
        trend = f" ({words.size(slope.value)} a call [{words.size(slope.low)}, {words.size(slope.high)}])"
    facts = [
        (
            "memory",
            f"peak {words.size(memory.peak)}, {words.size(memory.peak - memory.baseline)} over a baseline of "
            f"{words.size(memory.baseline)}; {words.size(memory.retained)} stays after a call; "
            f"{memory.pattern}{trend}",
        ),
    ]
    parts = [
        f"{name} {words.size(amount)}"
        for name, amount in (
            ("parameters", memory.parameters),
            ("gradients", memory.gradients),
            ("optimizer", memory.optimizer),
            ("kept for backward", memory.activations),
            ("temporaries", memory.temporaries),
        )
        if amount
    ]
    if parts:
        facts.append(("", ", ".join(parts)))
    if memory.resident_baseline is not None:
        resident = f"the process holds {words.size(memory.resident_baseline)}"
        if memory.resident_peak is not None:
            resident += f", at most {words.size(memory.resident_peak)}"
        facts.append(("", resident))
    return facts


# ---------------------------------------------------------------- the tree


def _tree(profile: Profile) -> str:
    """The modules, each below its parent."""
    if not profile.modules or (len(profile.modules) == 1 and not profile.modules[0].kind):
        return ""
    lines, fold = outline(profile)
    columns, meaning = tree_columns(profile)
    columns = _that_fit(columns, lines)
    rows = [[column.cell(line) for column in columns] for line in lines]
    table = columned("module", [names_of(line) for line in lines], [c.heading for c in columns], rows)
    if any(line.row is None for line in lines):
        meaning = f"Modules below {100 * fold:g} % of the pass are folded. {meaning}"
    return "\n".join([*table, wrapped(meaning)])


def _that_fit(columns: list[Column], lines: Sequence[Line]) -> list[Column]:
    """The columns less those that can be done without, until the rest leaves room for names."""
    widths = {c.heading: 2 + max(len(c.heading), *(len(c.cell(line)) for line in lines)) for c in columns}
    for heading in SPARE:
        if sum(widths.values()) > COLUMNS - LEAST_NAME:
            widths.pop(heading, None)
    return [column for column in columns if column.heading in widths]


def names_of(line: Line) -> tuple[str, ...]:
    """What the line is called, with the kind of module where that fits."""
    indent = " " * min(line.depth, 12)
    if line.row is None:
        return (indent + line.name,)
    name, kind = one_line(line.name), one_line(line.row.kind)
    inside = f" ({line.folded} inside)" if line.folded else ""
    if not name:
        return (indent + (kind or label("")) + inside,)
    return (f"{indent}{name} {kind}{inside}", f"{indent}{name}{inside}")


def tree_columns(profile: Profile) -> tuple[list[Column], str]:
    """The columns that this profile fills, and a sentence on what their figures mean."""
    largest = max(row.self_seconds.value for row in profile.modules)
    scale, unit = words.span(largest)
    decimals = 3 if largest / scale < 100 else 2
    meaning = ["Self time is that of a module less its children's, with a 95 % interval."]

    def place(value: float | None) -> str:
        return words.NOTHING if value is None else f"{value / scale:.{decimals}f}"

    def time(line: Line) -> str:
        seconds = line.total if line.row is None else line.row.self_seconds.value
        return place(seconds) if seconds else ""

    def interval(line: Line) -> str:
        found = line.row.self_seconds if line.row is not None else None
        if found is None or not found.value:
            return ""
        return f"[{place(found.low)}, {place(found.high)}]"

    found = [Column(f"self, {unit}", time), Column("95 % interval", interval)]
    unbounded_ends = [(row.self_seconds.low, row.self_seconds.high).count(None) for row in profile.modules]
    if all(count == 2 for count in unbounded_ends):
        found.pop()
        meaning = ["Self time is that of a module less its children's."]
    elif any(unbounded_ends):
        meaning.append("-: too few passes, or too much alike, to bound it.")
    found += [Column("share", _share), Column("with", _with)]
    meaning.append("With: share with all below it.")
    if profile.mode != "forward" and any(row.backward_seconds for row in profile.modules):
        found.append(Column("back", _backward))
        meaning.append("Back: part of the self time in gradients.")
    found += [Column("FLOP", _flops), Column("FLOP/B", _intensity)]
    if any(row.roof is not None or row.bound for row in profile.modules):
        found.append(Column("roof", _roof))
        meaning.append("Roof: part of the machine's best; c compute-, m memory-, o overhead-bound.")
    if any(row.peak_bytes is not None for row in profile.modules):
        found.append(Column("peak", _peak))
        meaning.append("Peak: memory over the baseline.")
    return found, " ".join(meaning)


def _share(line: Line) -> str:
    if line.row is None:
        return words.percent(line.share)
    return words.percent(line.row.share.value) if line.row.self_seconds.value else ""


def _with(line: Line) -> str:
    return words.percent(line.share)


def _backward(line: Line) -> str:
    row = line.row
    return (
        f"{row.backward_seconds / row.self_seconds.value:.0%}"
        if row is not None and row.self_seconds.value
        else ""
    )


def _flops(line: Line) -> str:
    row = line.row
    return words.work(row.flops).removesuffix("FLOP").rstrip() if row is not None and row.calls else ""


def _intensity(line: Line) -> str:
    return words.figure(line.row.intensity) if line.row is not None and line.row.calls else ""


def _roof(line: Line) -> str:
    row = line.row
    if row is None or not row.calls:
        return ""
    bound = (row.bound or " ")[0]
    return f"{words.NOTHING if row.roof is None else f'{row.roof:.0%}'} {bound}"


def _peak(line: Line) -> str:
    return words.size(line.row.peak_bytes) if line.row is not None and line.row.peak_bytes is not None else ""


# ---------------------------------------------------------------- tables


def _groups(profile: Profile) -> str:
    """Modules that differ in the number of their block only as one, until 80 % of the time is named."""
    found = groups(profile)
    if all(len(group.rows) == 1 for group in found):
        return ""
    names, rows, so_far = [], [], 0.0
    for group in found[:MOST_GROUPS]:
        so_far += group.share.value
        names.append((one_line(label(group.name)),))
        seconds = words.seconds(group.seconds)
        rows.append([str(len(group.rows)), seconds, words.shared(group.share), words.percent(so_far)])
        if so_far >= MOST_OF_IT:
            break
    return "\n".join(columned("modules of a kind", names, ["modules", "self", "share", "so far"], rows))


def _ops(profile: Profile) -> str:
    """The kinds of op that take the most."""
    if not profile.ops:
        return ""
    shown, rest = profile.ops[:MOST_OPS], profile.ops[MOST_OPS:]
    rows = [
        [f"{op.calls:g}", words.timed(op.seconds), words.percent(op.share.value), words.work(op.flops)]
        for op in shown
    ]
    names = [(one_line(op.name),) for op in shown]
    if rest:
        names.append((f"{len(rest)} more",))
        share = sum(op.share.value for op in rest)
        rows.append(["", words.seconds(sum(op.seconds.value for op in rest)), words.percent(share), ""])
    return "\n".join(columned("op", names, ["calls", "time", "share", "work"], rows))


def _hotspots(profile: Profile) -> str:
    """The functions and lines of a plain callable that take the most."""
    if not profile.hotspots:
        return ""
    shown = profile.hotspots[:MOST_SPOTS]
    rows = [
        [words.percent(s.share), words.seconds(s.self_seconds), words.seconds(s.total_seconds), str(s.calls)]
        for s in shown
    ]
    names = [(f"{one_line(s.function)}  {one_line(s.file)}:{s.line}",) for s in shown]
    return "\n".join(columned("function", names, ["share", "self", "with callees", "calls"], rows))
