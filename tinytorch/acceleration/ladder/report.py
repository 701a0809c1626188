"""What a ladder came to: a table of its rungs, each with its time, its share of the peak and its factors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tinytorch.profiling import words
from tinytorch.profiling.timing.stats import Stats, where, wrapped

HEAD = ("rung", "time", "runs", "GFLOP/s", "of peak", "over below")


@dataclass(frozen=True)
class Step:
    """One rung as it was measured.

    `flops`: work of one call. `threads`: those it ran on; `peak`: FLOP/s that the machine reaches on as many.
    `error`: the largest distance from the float64 reference, over the largest number in that.
    """

    name: str
    lesson: str
    stats: Stats
    flops: int
    threads: int
    peak: float
    error: float

    @property
    def seconds(self) -> float:
        """The median time of a call."""
        return self.stats.p50

    @property
    def rate(self) -> float:
        """FLOP/s."""
        return self.flops / self.seconds

    @property
    def share(self) -> float:
        """The part of the peak that it reaches."""
        return self.rate / self.peak


@dataclass(frozen=True, repr=False)
class Report:
    """The rungs of one ladder from first to last. `plain`: the name of the one that is plain NumPy."""

    kind: str
    size: int
    title: str
    plain: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Step:
        """The rung of that name; raises KeyError where it was left out."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def over_below(self, name: str) -> float | None:
        """How many times as fast as the rung below it; None for the first."""
        at = self.steps.index(self[name])
        return None if at == 0 else self.steps[at - 1].seconds / self.steps[at].seconds

    def over_first(self, name: str) -> float:
        """How many times as fast as the first rung."""
        return self.steps[0].seconds / self[name].seconds

    def over_plain(self, name: str) -> float:
        """How many times as fast as plain NumPy."""
        return self[self.plain].seconds / self[name].seconds

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold."""
        return {
            "kind": self.kind,
            "size": self.size,
            "title": self.title,
            "plain": self.plain,
            "rungs": [self._step(step) for step in self.steps],
            "notes": list(self.notes),
            "environment": self.steps[0].stats.environment.as_dict(),
        }

    def _step(self, step: Step) -> dict[str, Any]:
        return {
            "name": step.name,
            "lesson": step.lesson,
            "threads": step.threads,
            "flops": step.flops,
            "median": asdict(step.stats.estimate("p50")),
            "samples": list(step.stats.samples),
            "inner": step.stats.inner,
            "rate": step.rate,
            "peak": step.peak,
            "share": step.share,
            "over_below": self.over_below(step.name),
            "over_first": self.over_first(step.name),
            "over_plain": self.over_plain(step.name),
            "error": step.error,
        }

    def __repr__(self) -> str:
        """The table, what each rung changes, what the whole ladder gains, and what is doubtful."""
        width = max(len(step.name) for step in self.steps) + 2
        lessons = (f"  {step.name.ljust(width)}{step.lesson}" for step in self.steps)
        surroundings = self.steps[-1].stats.environment
        rest = [*self._summary(), *self.notes, *surroundings.warnings, f"Measured on: {where(surroundings)}"]
        return "\n".join(
            [
                self.title,
                "",
                *self._table(),
                "",
                *(part for line in lessons for part in wrapped(line, width + 2)),
                "",
                *(part for line in rest for part in wrapped(line, 2)),
            ]
        )

    def _table(self) -> list[str]:
        """A line for each rung."""
        head = [*HEAD, *(f"over {name}" for name in self._bases()), "error"]
        rows = [head, *(self._row(step) for step in self.steps)]
        return words.columns(rows, left=(0, 1))

    def _row(self, step: Step) -> list[str]:
        runs = words.count(len(step.stats.samples))
        return [
            step.name,
            words.timed(step.stats.estimate("p50")),
            f"{runs} of {step.stats.inner:,}" if step.stats.inner > 1 else runs,
            words.figure(step.rate / 1e9),
            words.percent(step.share),
            times(self.over_below(step.name)),
            *(times(self[base].seconds / step.seconds) for base in self._bases()),
            f"{step.error:.0e}" if step.error else "0",
        ]

    def _bases(self) -> list[str]:
        """The rungs that every rung is held to: the first and plain NumPy, which may be the same."""
        return list(dict.fromkeys((self.steps[0].name, self.plain)))

    def _summary(self) -> list[str]:
        """The factor from bottom to top, and beside it the one over what anybody has at hand."""
        first, last = self.steps[0], self.steps[-1]
        top = min(self.steps, key=lambda step: step.seconds)
        lines = [self._said("The last rung", last)]
        if top is not last:
            lines.append(self._said(f"The fastest is {top.name}: it", top))
        if first.name != self.plain:
            lines.append(
                f"Plain NumPy is itself {times(self.over_first(self.plain))} as fast as {first.name}."
            )
        peaks = {step.threads: step.peak for step in self.steps}
        shown = ", ".join(f"{words.rate(peak)} on {_threads(n)}" for n, peak in sorted(peaks.items()))
        lines.append(f"Peak of this machine as measured: {shown}. A rung is held to that of its threads.")
        loose = [step.name for step in self.steps if None in step.stats.ci("p50")]
        if loose:
            lines.append(
                f"No interval for {', '.join(loose)}: too few runs, or runs too much like those before them."
            )
        return lines

    def _said(self, who: str, step: Step) -> str:
        """How many times as fast as the first rung and as plain NumPy, where it is neither."""
        bases = {self.steps[0].name: self.steps[0].name, self.plain: "plain NumPy"}
        facts = [
            f"{times(self[base].seconds / step.seconds)} as fast as {shown}"
            for base, shown in bases.items()
            if base != step.name
        ]
        return f"{who} is {', and '.join(facts) or 'plain NumPy'}."


def times(factor: float | None) -> str:
    """A factor with three figures.

    >>> times(2712.4), times(0.845), times(None)
    ('2,712x', '0.845x', '-')
    """
    return words.figure(factor) + ("" if factor is None else "x")


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"
