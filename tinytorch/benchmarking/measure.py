"""Measuring one entry: checked, hashed, run on fresh data in boxes, beside its baseline, and judged."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from tinytorch import console
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking import outcomes, samples, score
from tinytorch.benchmarking import result as labels
from tinytorch.benchmarking.boxes import Boxes, RefusedError, boxes, runner_hash
from tinytorch.benchmarking.entry import Entry
from tinytorch.benchmarking.events import Event, baseline, baseline_graph, canonical, event
from tinytorch.benchmarking.machine import this_machine
from tinytorch.benchmarking.ratio import Ratio
from tinytorch.benchmarking.recipe import follow, steps_of
from tinytorch.benchmarking.result import Figures, Ratios, Result, Rounds, Technique, digest
from tinytorch.benchmarking.warm import warm
from tinytorch.errors import CheckpointError
from tinytorch.ops.spec import Array

CACHING = 1.10
"""How many times faster the same input may be answered again than new ones; it counts if no process is
below, as noise is not in all of them."""
THREADS = 1.5
"""Seconds of CPU that all threads may take for one on the clock: everybody has one."""
OFF = 1e-3
"""How far timed outputs may lie from those of a later run in the mean, as a share of their spread."""


@dataclass(frozen=True)
class Plan:
    """How much is measured. samples: of test data, plain and changed; processes: fresh ones in which times
    are taken; instances: times that programs are loaded anew in each, as where they lie in memory matters;
    rounds: by part, in each instance; repeats: rounds of the search for caching.
    """

    samples: int
    processes: int
    instances: int
    rounds: dict[str, int]
    repeats: int
    ranked: bool


_IMAGES = {"classify": 12, "offline": 4}
PLANS = {
    ("images", True): Plan(10_000, 6, 4, _IMAGES, 8, True),
    ("images", False): Plan(2_000, 2, 1, _IMAGES, 4, False),
    ("text", True): Plan(512, 5, 1, {"score": 6, "generate": 3, "offline": 1}, 3, True),
    ("text", False): Plan(48, 1, 1, {"score": 4, "generate": 2, "offline": 2}, 2, False),
}


def plan_for(event: Event, quick: bool = False) -> Plan:
    """How much is measured of an event; quick results are not ranked.

    >>> plan_for(event("mlp_sprint")).ranked, plan_for(event("mlp_sprint"), quick=True).ranked
    (True, False)
    """
    return PLANS[event.kind, not quick]


def measure(
    entry: Entry,
    *,
    quick: bool = False,
    strict: bool = False,
    private: samples.Samples | None = None,
    seed: int | None = None,
    verified: bool = False,
    on_estimate: Callable[[Ratios], None] | None = None,
    base: Graph | None = None,
    compiled: dict[str, Array] | None = None,
) -> tuple[Result, bytes]:
    """What an entry reaches beside the baseline, and its program in canonical form, empty if it has none.

    `strict`: refuse on a machine that cannot isolate. `private`: an organiser's test data in place of ours.
    `seed`: of all random choices, drawn after the entry is hashed unless a result is checked again.
    `verified`: an organiser measures. `on_estimate`: called once, with what the first process showed. What
    is wrong with the entry stands in the result. `base`: another program in the baseline's place, whose
    result is on no board. `compiled`: what boxes compiled of the same entry before; it takes what these did,
    for `compare` or another call. Raises BenchmarkError for what is wrong with the machine.
    """
    with boxes(strict) as box:
        plan = plan_for(event(entry.description.event), quick)
        box.keep_compiled(compiled or {})
        found = Measurement(entry, plan, box, private, seed, verified, on_estimate, base).run()
        if compiled is not None:
            compiled |= box.compiled()
        return found


class Measurement:
    """One call of `measure` while it runs."""

    def __init__(
        self,
        entry: Entry,
        plan: Plan,
        box: Boxes,
        private: samples.Samples | None,
        seed: int | None,
        verified: bool = False,
        on_estimate: Callable[[Ratios], None] | None = None,
        base: Graph | None = None,
    ) -> None:
        self.entry, self.plan, self.box, self.private, self.verified = entry, plan, box, private, verified
        self.on_estimate, self.own_base = on_estimate, base
        self.event = event(entry.description.event)
        self.given_seed, self.seed = seed, 0
        self.started, self.begun = datetime.now(UTC), time.perf_counter()
        self.reasons: list[str] = []
        self.notes: list[str] = []
        self.canonical = b""
        self.base_file = b""
        self.techniques: tuple[Technique, ...] = ()
        self.rounds: list[Rounds] = []
        self.figures: Figures | None = None
        self.base: Figures | None = None
        self.accuracy: Ratio | None = None
        self.outcomes = ""
        self.timed: list[tuple[samples.Samples, dict[str, Array]]] = []
        self.cpu: dict[str, list[float]] = {"first": [], "second": []}

    def run(self) -> tuple[Result, bytes]:
        """Do it all, step by step, until something is wrong with the entry."""
        steps = (self.check, self.take_quality, self.take_memory, self.take_times, self.check_again)
        try:
            with console.progress(len(steps), f"measure {self.event.name}", "steps") as bar:
                for number, step in enumerate(steps):
                    step()
                    bar.update(number + 1)
                    if self.reasons:
                        break
        except RefusedError as error:
            self.reasons.append(str(error))
        return self.result(), self.canonical

    # ------------------------------------------------------------ steps

    def check(self) -> None:
        """Have the file read in a box, and know the entry by its canonical form; only then draw the seed."""
        base_graph = self.own_base or baseline_graph(self.event.name)
        self.base_file = canonical(base_graph) if self.own_base else baseline(self.event.name)
        program = self.entry.program
        if self.entry.closed:
            program = as_bytes(follow(self.event, steps_of(self.entry.description.steps)))
        with contextlib.suppress(CheckpointError):  # no baseline ships, and this one has its own
            warm(self.box, self.event)
        base = self.box.put("first", as_bytes(base_graph))
        given = self.box.put("given", program)
        some = self.box.put("some.safetensors", {"fresh": self.fresh(0, self.event.batch).inputs})
        (answer, arrays), (_, compiled) = self.box.side_by_side(
            self.task("check", program=given, baseline=base), self.task("ready", program=given, inputs=some)
        )
        self.box.keep_compiled(compiled)
        self.canonical = arrays["canonical"].tobytes()
        self.techniques = (
            *(Technique(t["name"], "found", t["evidence"]) for t in answer["techniques"]),
            *(Technique(name, "declared", "said by the entrant") for name in self.entry.description.declared),
        )
        self.programs = {"first": base, "second": self.box.put("second", arrays["program"].tobytes())}
        self.seed = secrets.randbits(48) if self.given_seed is None else self.given_seed

    def task(self, mode: str, **rest: Any) -> dict[str, Any]:
        """What a box is told."""
        return {"mode": mode, "event": self.event.name, **rest}

    def take_quality(self) -> None:
        """Both programs on test data, plain and changed: the gate, and what is known by heart."""
        given = {
            "plain": samples.plain(self.event, self.plan.samples, self.private),
            "transformed": samples.transformed(self.event, self.plan.samples, self.seed, self.private),
        }
        inputs = {name: some.inputs for name, some in given.items()}
        if self.event.kind == "text":
            inputs |= {f"{name} behind": some.labels for name, some in given.items()}
        path = self.box.put("quality.safetensors", inputs)
        answers = self.box.side_by_side(
            *(self.task("quality", program=program, inputs=path) for program in self.programs.values())
        )
        (base, outputs), (own, outcome) = answers
        for compiled in (outputs, outcome):
            self.box.keep_compiled(compiled)
        if not all_finite([outcome[name] for name in given]):
            self.reasons.append("outputs are not finite: NaN or infinity is no answer")
            return
        self.notes += own["notes"]
        self.derived = {"first": base["derived"], "second": own["derived"]}
        if own["load_seconds"] > self.event.limit:
            self.reasons.append(
                f"loading took {own['load_seconds']:.0f} s; at most {self.event.limit:.0f}: "
                "work belongs into the run"
            )
        self.judge(
            *(
                {name: score.qualities(self.event, found[name], some.labels) for name, some in given.items()}
                for found in (outputs, outcome)
            )
        )

    def judge(self, base: dict[str, Array], own: dict[str, Array]) -> None:
        """The gate, and the gap between plain and changed data."""
        self.means = {
            name: {which: float(values.mean()) for which, values in by.items()}
            for name, by in (("first", base), ("second", own))
        }
        quality, wanted = self.means["second"]["plain"], self.means["first"]["plain"]
        if not score.passes_gate(self.event, quality, wanted):
            self.reasons.append(
                f"gate: {self.event.quality} {quality:.4f} beside the baseline's {wanted:.4f}; "
                f"{self.event.gate:.0%} of that is needed"
            )
            return
        self.accuracy = score.accuracy_ratio(self.event, own["plain"], base["plain"])
        self.outcomes = outcomes.packed(own["plain"])
        gap = score.transform_gap(
            self.event, (own["plain"], own["transformed"]), (base["plain"], base["transformed"])
        )
        if score.knows_by_heart(gap):
            self.reasons.append(
                f"known by heart: {self.event.quality} is {quality:.4f} on test data and "
                f"{self.means['second']['transformed']:.4f} under small changes; the baseline loses far less"
            )
        elif (gap.estimate().low or 0.0) > 1.0:
            self.notes.append(f"loses {gap.log:.1%} more than the baseline under small changes of the data")

    def take_memory(self) -> None:
        """Bytes of both, each in a process of its own."""
        fresh = self.box.put("memory.safetensors", {"fresh": self.fresh(0, 16).inputs})
        idle = self.programs["first"]
        answers = self.box.side_by_side(
            *(self.task("memory", program=path, idle=idle, inputs=fresh) for path in self.programs.values())
        )
        self.memory = {name: answer for name, (answer, _) in zip(self.programs, answers, strict=True)}

    def take_times(self) -> None:
        """Both in turns, in several fresh processes, with the baseline beside a copy of itself."""
        repeated = []
        for process in range(self.plan.processes):
            answer = self.take_process(process)
            repeated.append(answer["repeated"])
            for name, found in self.cpu.items():
                found.append(answer["cpu"][name])
            if process == 0 and self.on_estimate is not None:
                self.on_estimate(self.found_ratios())
        if min(repeated) > CACHING:
            self.reasons.append(
                f"caching: a repeated input is answered {min(repeated):.2f} times faster than new ones"
            )
        if np.mean(self.cpu["second"]) > THREADS:
            used = float(np.mean(self.cpu["second"]))
            self.reasons.append(f"threads: {used:.2f} s of CPU for each second on the clock")

    def take_process(self, process: int) -> dict[str, Any]:
        """The times of one process."""
        fresh = self.fresh(process, 1024 if self.event.kind == "images" else 64)
        plan = {"rounds": self.plan.rounds, "repeats": self.plan.repeats, "instances": self.plan.instances}
        answer, arrays = self.box.run(
            "time",
            event=self.event.name,
            programs=self.programs,
            inputs=self.box.put(f"fresh{process}.safetensors", {"fresh": fresh.inputs}),
            control=True,
            derived=self.derived,
            process=process,
            seed=self.seed,
            **plan,
        )
        self.rounds += rounds_of(answer["rounds"])
        self.timed.append((fresh, arrays))
        return answer

    def check_again(self) -> None:
        """What was answered under the clock, in one of the processes, is what is answered without one."""
        process = int(self.seed % self.plan.processes)
        fresh, arrays = self.timed[process]
        at = arrays["second at"]
        inputs = str(self.box.folder / f"fresh{process}.safetensors")
        task = self.task("again", program=self.programs["second"], inputs=inputs, at=at.tolist())
        _, later = self.box.run(**task)
        timed, wanted = arrays["second outputs"], later["outputs"]
        off = float(np.abs(timed - wanted).mean()) if timed.shape == wanted.shape else np.inf
        if not off <= OFF * max(float(wanted.std()), 1e-9):
            self.reasons.append("answers under the clock differ from those without one")
        elif self.event.kind == "images":
            self.check_accuracy(score.qualities(self.event, timed, fresh.labels[at]))

    def check_accuracy(self, hits: Array) -> None:
        """The accuracy under the clock is that on changed data, within four standard errors."""
        expected = self.means["second"]["transformed"]
        error = max(np.sqrt(expected * (1 - expected) / len(hits)), 1 / len(hits))
        if hits.mean() < expected - 4 * error:
            self.reasons.append(
                f"accuracy under the clock is {hits.mean():.4f} of {len(hits)}; without, {expected:.4f}"
            )

    def fresh(self, process: int, count: int) -> samples.Samples:
        """Inputs for timing that nobody has seen."""
        return samples.fresh(self.event, count, self.seed, process)

    # ------------------------------------------------------------ the result

    def result(self) -> Result:
        """All of it; figures only where everything was measured."""
        whole = not self.reasons
        found = self.found_ratios() if whole else None
        control = score.control(self.event, self.rounds) if self.rounds else None
        steady = control is not None and score.is_steady(control)
        says = self.entry.description
        return Result(
            event=self.event.name,
            division=says.division,
            team=says.team,
            description=says.description,
            entry=digest(self.canonical) if self.canonical else digest(self.entry.program),
            baseline=digest(self.base_file),
            runner=runner_hash(),
            seed=self.seed,
            valid=whole,
            published=whole and steady and self.plan.ranked and self.own_base is None,
            reasons=(*self.reasons, *self.notes),
            labels=tuple(self.labels(whole and self.plan.ranked and not steady)),
            figures=self.figures,
            base=self.base,
            ratios=found,
            control=control,
            techniques=self.techniques,
            machine=this_machine(),
            started=self.started.isoformat(timespec="seconds"),
            seconds=time.perf_counter() - self.begun,
            isolation=dict(self.box.missing),
            samples=tuple(self.rounds),
            outcomes=self.outcomes,
            recipe=self.entry.text if self.entry.closed else "",
        )

    def found_ratios(self) -> Ratios:
        """Of what is measured so far."""
        self.base, self.figures = self.figures_of("first"), self.figures_of("second")
        assert self.accuracy is not None, "the gate was passed"
        return score.ratios(self.event, self.rounds, self.figures, self.base, self.accuracy)

    def labels(self, noisy: bool) -> list[str]:
        """What must stand beside the figures."""
        found = {
            labels.UNVERIFIED: not self.verified,
            labels.NOT_ISOLATED: not self.box.isolated,
            labels.CONTAMINATION: self.private is None,
            labels.TRAINING: not self.entry.closed,
            labels.QUICK: not self.plan.ranked,
            labels.TOO_NOISY: noisy,
        }
        return [label for label, holds in found.items() if holds]

    def figures_of(self, name: str) -> Figures:
        """The figures of one of the two programs."""
        second = name == "second"
        memory = self.memory[name]
        return Figures(
            latency=score.latencies(self.event, self.rounds, second),
            throughput=score.throughput(self.event, self.rounds, second),
            **memory,
            memory=score.counted_memory(**memory),
            file=len(self.canonical if second else self.base_file),
            cpu=float(np.mean(self.cpu[name])),
            quality=self.means[name]["plain"],
            transformed=self.means[name]["transformed"],
        )


def all_finite(outputs: Sequence[Array]) -> bool:
    """Whether no answer is NaN or infinite: comparing such with anything says nothing.

    >>> all_finite([np.ones(2)]), all_finite([np.ones(2), np.array([np.nan])])
    (True, False)
    """
    return all(bool(np.isfinite(one).all()) for one in outputs)


def rounds_of(sent: Sequence[dict[str, Any]]) -> list[Rounds]:
    """Rounds as a box sent them."""
    return [msgspec.convert(one, Rounds) for one in sent]
