"""A paired re-run of two entries: only what tells them apart in it gives them different ranks."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tinytorch import console
from tinytorch.acceleration.artifact.compact import unpacked
from tinytorch.benchmarking import outcomes, samples, score
from tinytorch.benchmarking.boxes import boxes, runner_hash
from tinytorch.benchmarking.events import LIMITS, Event, event
from tinytorch.benchmarking.machine import this_machine
from tinytorch.benchmarking.measure import rounds_of
from tinytorch.benchmarking.ratio import Ratio, exact, geometric_mean, held
from tinytorch.benchmarking.result import Board, Comparison, Result, Rounds
from tinytorch.benchmarking.warm import warm
from tinytorch.errors import BenchmarkError
from tinytorch.ops.spec import Array

PROCESSES = {"images": 6, "text": 5}
ROUNDS = {"images": {"classify": 12, "offline": 4}, "text": {"score": 4, "generate": 2, "offline": 1}}
INSTANCES = {"images": 4, "text": 1}


@dataclass(frozen=True)
class Contender:
    """A valid entry with its canonical program."""

    result: Result
    program: bytes


def compare(
    first: Contender,
    second: Contender,
    *,
    strict: bool = False,
    seed: int | None = None,
    compiled: Mapping[str, Array] | None = None,
) -> Comparison:
    """How many times better the first is than the second, by board: times from processes that run both.

    Memory and size are those of their results, which are exact; accuracy is compared over the same samples.
    `compiled`: what boxes compiled before, which is not compiled again.
    Raises BenchmarkError for entries that are not valid or not of one event.
    """
    one = event(first.result.event)
    for contender in (first, second):
        found = contender.result
        if not found.valid or found.figures is None or found.event != one.name:
            raise BenchmarkError(f"compare: {found.team}'s entry is no valid one of {one.title}")
    drawn = secrets.randbits(48) if seed is None else seed
    started = datetime.now(UTC).isoformat(timespec="seconds")
    rounds = _timed(one, first, second, drawn, strict, compiled or {})
    return Comparison(
        event=one.name,
        division=first.result.division,
        first=first.result.entry,
        second=second.result.entry,
        ratios=_ratios(one, first.result, second.result, rounds),
        machine=this_machine(),
        runner=runner_hash(),
        seed=drawn,
        started=started,
        samples=tuple(rounds),
    )


def _timed(
    one: Event,
    first: Contender,
    second: Contender,
    seed: int,
    strict: bool,
    compiled: Mapping[str, Array],
) -> list[Rounds]:
    """Both in turns; `first` of these rounds is the second contender, so that ratios say how much faster
    the first one is.
    """
    found: list[Rounds] = []
    count = PROCESSES[one.kind]
    with boxes(strict) as box, console.progress(count, f"compare {one.name}", "processes") as bar:
        programs = {
            name: box.put(name, unpacked(contender.program, LIMITS.memory + LIMITS.header))
            for name, contender in (("first", second), ("second", first))
        }
        some = box.put("some.safetensors", {"fresh": samples.fresh(one, one.batch, seed, 0).inputs})
        warm(box, one)
        box.keep_compiled(compiled)
        derived = {}
        tasks = (
            {"mode": "ready", "event": one.name, "program": p, "inputs": some} for p in programs.values()
        )
        for name, (answer, arrays) in zip(programs, box.side_by_side(*tasks), strict=True):
            box.keep_compiled(arrays)
            derived[name] = answer["derived"]
        for process in range(count):
            fresh = samples.fresh(one, 1024 if one.kind == "images" else 64, seed, process)
            timed, _ = box.run(
                "time",
                event=one.name,
                programs=programs,
                inputs=box.put(f"fresh{process}.safetensors", {"fresh": fresh.inputs}),
                rounds=ROUNDS[one.kind],
                repeats=0,
                instances=INSTANCES[one.kind],
                control=False,
                derived=derived,
                process=process,
                seed=seed,
            )
            found += rounds_of(timed["rounds"])
            bar.update(process + 1)
    return found


def _ratios(one: Event, first: Result, second: Result, rounds: list[Rounds]) -> dict[Board, Ratio]:
    assert first.figures is not None, "it is valid"
    assert second.figures is not None, "it is valid"
    single = geometric_mean([score.times_faster(rounds, part) for part in one.parts])
    speed = geometric_mean([single, score.times_faster(rounds, "offline")])
    memory = exact(second.figures.memory, first.figures.memory)
    size = exact(second.figures.file, first.figures.file)
    accuracy = score.accuracy_ratio(
        one, outcomes.unpacked(first.outcomes), outcomes.unpacked(second.outcomes)
    )
    overall = geometric_mean([held(ratio) for ratio in (speed, memory, size, accuracy)])
    return {"overall": overall, "speed": speed, "memory": memory, "size": size}
