"""What changed between two profiles: each module's time as a ratio, tested together, and its work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinytorch.errors import ProfilingError
from tinytorch.profiling import words
from tinytorch.profiling.profile import ModuleRow, Profile
from tinytorch.profiling.report.layout import columned, one_line, wrapped
from tinytorch.profiling.report.outline import FOLD, label
from tinytorch.profiling.significance import RatioTest, holm, ratio
from tinytorch.profiling.statistics import Estimate

WHOLE = "(whole pass)"
ALIKE = 0.5  # of the smaller profile's modules that both must have
SLOWER, FASTER, SAME = "slower", "faster", "no difference shown"
ONLY_BEFORE, ONLY_AFTER, UNTESTED = "only before", "only after", "not tested"
DRIFT = (
    "The two were measured apart from each other: what the machine did in between (clock speed, other load) "
    "cannot be told from a difference in the code. Where both can run in one process, compare() takes turns."
)
CHANGING = ("date", "load")  # parts of the environment that no two readings share


@dataclass(frozen=True)
class DiffRow:
    """A module before and after: self seconds (medians), FLOPs, and `ratio`, after over before.

    The ratio's interval is as wide as Holm's correction for all modules asks; None where it was not tested.
    `verdict`: "slower", "faster", "no difference shown", "only before", "only after" or "not tested".
    `share`: the larger of its shares of the pass.
    """

    path: str
    before: float | None
    after: float | None
    ratio: Estimate | None
    verdict: str
    share: float
    flops_before: int | None = None
    flops_after: int | None = None

    @property
    def significant(self) -> bool:
        """Whether the ratio's interval leaves out 1."""
        return self.verdict in (SLOWER, FASTER)

    def exceeds(self, limit: float) -> bool:
        """Whether the whole interval is above 1 + limit: slower by more, beyond what chance explains."""
        return self.ratio is not None and self.ratio.low is not None and self.ratio.low > 1 + limit


@dataclass(frozen=True, repr=False)
class Diff:
    """What changed from one profile to another. `total` is the ratio of whole passes, after over before."""

    before: str
    after: str
    rows: tuple[DiffRow, ...]
    whole: DiffRow
    warnings: tuple[str, ...]

    @property
    def total(self) -> Estimate | None:
        """The ratio of the times of whole passes; None where one of them was not timed often enough."""
        return self.whole.ratio

    def over(self, limit: float, least: float = 0.01) -> list[DiffRow]:
        """The rows that are slower by more than `limit` (0.05: 5 %) with significance, the whole pass first.

        Modules that take less than the share `least` of a pass before and after do not count. Raises
        ProfilingError for a limit or share below 0.
        """
        if not (limit >= 0 and least >= 0):
            raise ProfilingError(f"over: limit {limit:g}, least {least:g}; expected shares of 0 or more")
        rows = [self.whole, *(row for row in self.rows if row.share >= least)]
        return [row for row in rows if row.exceeds(limit)]

    def __repr__(self) -> str:
        """The verdict, then a line for each module, at most 100 columns."""
        return text(self)


def diff(before: Profile, after: Profile) -> Diff:
    """Compare two profiles of one model, module by module.

    Self times of watched passes and times of unwatched passes are tested as ratios; modules together, with
    Holm's correction. Raises ProfilingError for different models, or different kinds of pass.
    """
    _check_same(before, after)
    ones = {row.path: row for row in before.modules}
    others = {row.path: row for row in after.modules}
    paths = list(ones) + [path for path in others if path not in ones]
    tests = {path: _test(after.passes.get(path, ()), before.passes.get(path, ())) for path in paths}
    tested = {path: test for path, test in tests.items() if test is not None}
    levels = dict(zip(tested, holm([test.p_value for test in tested.values()]), strict=True))
    rows = [_row(path, ones.get(path), others.get(path), tests[path], levels.get(path)) for path in paths]
    whole = _whole(before, after)
    shown = tuple(row for row in rows if row.before or row.after)
    return Diff(_title(before), _title(after), shown, whole, _warnings(before, after))


def _whole(before: Profile, after: Profile) -> DiffRow:
    """The row of the whole pass, from the times that nobody watched."""
    one, other = before.timing, after.timing
    test = None if one is None or other is None else _test(other.samples, one.samples)
    found = None if test is None else test.estimate()
    return DiffRow(
        WHOLE,
        None if one is None else one.p50.value,
        None if other is None else other.p50.value,
        found,
        _verdict(found),
        1.0,
        before.flops,
        after.flops,
    )


def _title(profile: Profile) -> str:
    return f"{profile.name} ({profile.date})" if profile.date else profile.name


def _test(after: Sequence[float], before: Sequence[float]) -> RatioTest | None:
    """The ratio of two lists of times; None where one is too short or has a time of 0."""
    if min(len(after), len(before)) < 2 or min(*after, *before) <= 0:
        return None
    return ratio(after, before)


def _row(
    path: str,
    before: ModuleRow | None,
    after: ModuleRow | None,
    test: RatioTest | None,
    level: float | None,
) -> DiffRow:
    found = None if test is None or level is None else test.estimate(1 - level)
    verdict = ONLY_AFTER if before is None else ONLY_BEFORE if after is None else _verdict(found)
    return DiffRow(
        path,
        None if before is None else before.self_seconds.value,
        None if after is None else after.self_seconds.value,
        found,
        verdict,
        max(row.share.value for row in (before, after) if row is not None),
        None if before is None else before.flops,
        None if after is None else after.flops,
    )


def _verdict(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return UNTESTED
    return SLOWER if estimate.low > 1 else FASTER if estimate.high < 1 else SAME


def _check_same(before: Profile, after: Profile) -> None:
    """Raise where the two are not of one model (by the modules they have in common) or one kind of pass."""
    names = f"{_title(before)} and {_title(after)}"
    if before.mode != after.mode:
        raise ProfilingError(
            f"diff: {names} are a {before.mode} and a {after.mode} profile; compare passes of one kind"
        )
    ones, others = ({(row.path, row.kind) for row in p.modules} for p in (before, after))
    kinds = ({row.kind for row in p.modules if not row.path} for p in (before, after))
    if before.modules and after.modules and any(row.kind for row in (*before.modules, *after.modules)):
        common = len(ones & others) / min(len(ones), len(others))
        different = next(kinds) != next(kinds) or common < ALIKE
    else:
        different = before.name != after.name or bool(before.modules) != bool(after.modules)
    if different:
        raise ProfilingError(
            f"diff: {names} are profiles of different models ({_model(before)}; {_model(after)}); "
            "profile one model twice"
        )


def _model(profile: Profile) -> str:
    root = profile.modules[0].kind if profile.modules else ""
    return f"{root or profile.name} with {len(profile.modules)} modules"


def _warnings(before: Profile, after: Profile) -> tuple[str, ...]:
    """What differs between the two readings besides the code."""
    found = []
    for ones, others in (
        (before.configuration, after.configuration),
        (before.environment, after.environment),
    ):
        for key in dict.fromkeys((*ones, *others)):
            one, other = ones.get(key, "unknown"), others.get(key, "unknown")
            if one != other and key not in CHANGING:
                found.append(f"{key}: {one} before, {other} after")
    if before.kind != after.kind:
        found.append(f"kind: {before.kind} before, {after.kind} after")
    if before.name != after.name:
        found.append(f"name: {before.name} before, {after.name} after")
    return (*found, DRIFT)


# ---------------------------------------------------------------- as text


def text(found: Diff) -> str:
    """The verdict, a line for each module in which time goes by, and warnings; at most 100 columns."""
    quiet = [row for row in found.rows if row.verdict in (SAME, UNTESTED) and row.share < FOLD]
    rows = [found.whole, *(row for row in found.rows if row not in quiet)]
    cells = [
        [
            words.seconds(row.before),
            words.seconds(row.after),
            "" if row.ratio is None else words.times(row.ratio),
            row.verdict,
            _work(row),
        ]
        for row in rows
    ]
    if not any(line[-1] for line in cells):
        cells = [line[:-1] for line in cells]
    headings = ["before", "after", "after / before", "verdict", "FLOPs"][: len(cells[0])]
    notes: list[str] = []
    names = [(one_line(label(row.path)),) for row in rows]
    if quiet:
        notes = [f"{len(quiet)} more below {100 * FOLD:g} % of a pass, none with a difference shown.", ""]
    notes += [wrapped(warning, "  ", "- ") for warning in found.warnings]
    table = columned("module", names, headings, cells)
    return "\n".join([wrapped(sentence(found)), "", *table, *([] if quiet else [""]), *notes])


def sentence(found: Diff) -> str:
    """What happened to the whole pass, and in how many modules a change is shown."""
    if found.whole.ratio is None:
        first = "Whole passes were not timed often enough to compare."
    else:
        factor = words.times(found.whole.ratio)
        said = {
            SLOWER: f"Slower: a pass takes {factor} as long",
            FASTER: f"Faster: a pass takes {factor} as long",
        }.get(found.whole.verdict, f"No difference shown: a pass takes {factor} as long")
        first = f"{said}."
    slower, faster = (sum(row.verdict == v for row in found.rows) for v in (SLOWER, FASTER))
    tested = sum(row.verdict in (SLOWER, FASTER, SAME) for row in found.rows)
    told = f"{found.before} -> {found.after}. {first}"
    if not tested:
        return told
    return (
        f"{told} Of {tested} modules, {slower} slower and {faster} faster beyond chance (Holm's correction)."
    )


def _work(row: DiffRow) -> str:
    """FLOPs where they changed."""
    if row.before is None or row.after is None or row.flops_before == row.flops_after:
        return ""
    return f"{words.work(row.flops_before)} -> {words.work(row.flops_after)}"
