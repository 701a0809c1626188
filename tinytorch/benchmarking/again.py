"""Measuring a stored result again, with its own program and its own seed: does it still say the same?"""

from __future__ import annotations

from dataclasses import dataclass

from tinytorch.benchmarking.entry import Entry, described
from tinytorch.benchmarking.events import baseline, event
from tinytorch.benchmarking.measure import measure
from tinytorch.benchmarking.result import Result, digest
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.text import result_text
from tinytorch.errors import BenchmarkError

SAME_QUALITY = 1e-3
"""How far a quality may lie off: other processors sum in another order."""
SAME_SCORE = 0.03
"""How far an overall score may lie off on the same machine."""


@dataclass(frozen=True)
class Again:
    """Both results, and in what they differ."""

    before: Result
    after: Result
    differences: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the new result says the same."""
        return not self.differences

    def __repr__(self) -> str:
        verdict = "holds" if self.holds else f"does NOT hold: {'; '.join(self.differences)}"
        return f"{result_text(self.after)}\nthe result {verdict}"


def measured_again(result: Result, board: Leaderboard) -> Again:
    """Run the program of a valid result again, on the data that its seed draws.

    Raises BenchmarkError for an invalid one, of which no program is kept, and where the baseline is another.
    """
    if not result.valid:
        raise BenchmarkError("verify: this result is invalid; there is no program of it to run again")
    if digest(baseline(result.event)) != result.baseline:
        raise BenchmarkError(
            "verify: the baseline of this version is another one; use the version that measured"
        )
    says = described(
        {"event": event(result.event).name, "team": result.team, "description": result.description}
    )
    after, _ = measure(Entry(says, board.program(result.entry)), seed=result.seed)
    return Again(result, after, tuple(_differences(result, after)))


def _differences(before: Result, after: Result) -> list[str]:
    if (
        not after.valid
        or after.figures is None
        or before.figures is None
        or not after.ratios
        or not before.ratios
    ):
        return [f"it is invalid now: {'; '.join(after.reasons)}"]
    found = []
    if after.entry != before.entry:
        found.append("the program has another hash")
    for name, what in (("quality", "quality"), ("transformed", "quality on changed data")):
        old, new = getattr(before.figures, name), getattr(after.figures, name)
        if abs(new - old) > SAME_QUALITY * abs(old):
            found.append(f"{what} was {old:.4f} and is {new:.4f}")
    if after.figures.file != before.figures.file:
        found.append(f"the file was {before.figures.file:,} bytes and is {after.figures.file:,}")
    if after.machine.fingerprint == before.machine.fingerprint:
        off = abs(after.ratios.overall.log - before.ratios.overall.log)
        if off > SAME_SCORE + 2 * (after.ratios.overall.error + before.ratios.overall.error):
            found.append(
                f"overall was {before.ratios.overall.value:.3f}x and is {after.ratios.overall.value:.3f}x"
            )
    return found
