"""What runs in the box: it loads programs that anybody may have written, runs them, and sends what they gave.

No code of an entrant runs here, and no label is known here. The task comes on standard input as JSON, the
answer goes to a file descriptor as one safetensors file, with plain figures as JSON in its metadata.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from tinytorch import console
from tinytorch.acceleration.artifact.load import load_artifact
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking.arm import Arm
from tinytorch.benchmarking.boxes import KEPT
from tinytorch.benchmarking.events import LIMITS, Event, canonical, event
from tinytorch.benchmarking.race import Lane, race, repeated
from tinytorch.benchmarking.result import Rounds
from tinytorch.benchmarking.techniques import found_in
from tinytorch.caching.resident import give_back
from tinytorch.errors import BenchmarkError, ProgramError, TinyTorchError
from tinytorch.ops.base import clock
from tinytorch.ops.spec import Array
from tinytorch.profiling.memory.meter import resident_size
from tinytorch.quantization.score import losses
from tinytorch.threads import set_num_threads

Answer = tuple[dict[str, Any], dict[str, Array]]


def admitted(path: Path, one: Event) -> Graph:
    """The program in a file, if it can be an entry of the event; raises BenchmarkError or ProgramError."""
    try:
        found = load_artifact(path, limits=LIMITS)
    except ProgramError as error:
        raise ProgramError(str(error).removeprefix(f"{path}: ")) from None  # the path is the runner's own
    graph = found.graph
    takes, gives = ([graph.specs[v] for v in values] for values in (graph.inputs, graph.outputs))
    if not found.stateless:
        raise BenchmarkError(
            "the program keeps states or draws random numbers: equal inputs must give equal outputs"
        )
    if takes != [one.inputs] or gives != [one.outputs]:
        raise BenchmarkError(
            f"the program takes {_listed(takes)} and gives {_listed(gives)}; "
            f"{one.title} takes {one.inputs} and gives {one.outputs}"
        )
    return graph


def _listed(specs: list[Any]) -> str:
    return ", ".join(map(repr, specs))[:200] or "nothing"


# ---------------------------------------------------------------- tasks


def check(task: Mapping[str, Any]) -> Answer:
    """Whether a file can be an entry: its canonical form, and the techniques seen in it."""
    one = event(task["event"])
    graph = admitted(Path(task["program"]), one)
    baseline = load_artifact(task["baseline"]).graph
    seen = [{"name": t.name, "evidence": t.evidence} for t in found_in(graph, baseline)]
    forms = {"canonical": canonical(graph), "program": as_bytes(graph)}
    arrays = {name: np.frombuffer(form, np.uint8) for name, form in forms.items()}
    return {"techniques": seen}, arrays | _compiled()


def ready(task: Mapping[str, Any]) -> Answer:
    """Compile a program, and say what can be derived from it."""
    one = event(task["event"])
    arm = Arm(admitted(Path(task["program"]), one), one)
    derived = arm.derive(load_file(task["inputs"])["fresh"][: one.batch])
    return {"load_seconds": arm.load_seconds, "notes": arm.notes, "derived": derived}, _compiled()


def quality(task: Mapping[str, Any]) -> Answer:
    """The outputs of a program on inputs in a file: logits of images, or nats of each byte of text."""
    one = event(task["event"])
    given = load_file(task["inputs"])
    arm = Arm(admitted(Path(task["program"]), one), one)
    derived = arm.derive(given["plain"][: one.batch])
    arrays: dict[str, Array] = {}
    for which in ("plain", "transformed"):
        inputs, behind = given[which], given.get(f"{which} behind")
        found = [_scored(arm, inputs[i : i + 1], behind, i) for i in range(len(inputs))]
        arrays[which] = np.concatenate(found)
    figures = {"load_seconds": arm.load_seconds, "notes": arm.notes, "derived": derived}
    return figures, arrays | _compiled()


def _scored(arm: Arm, x: Array, behind: Array | None, at: int) -> Array:
    """What is sent of one output: all of it, or, as text is too much, the loss of each byte, (1, t)."""
    out = arm.one(x)
    if behind is None:
        return out
    if not np.isfinite(out).all():
        return np.full(behind[at : at + 1].shape, np.nan, np.float32)
    return losses(out, behind[at : at + 1]).reshape(1, -1).astype(np.float32)


def _compiled() -> dict[str, Array]:
    """What was compiled here, by path, for the boxes that come after this one."""
    root = Path.cwd()
    files = [path for name in KEPT for path in sorted((root / name).rglob("*")) if path.is_file()]
    return {
        f"cache {path.relative_to(root).as_posix()}": np.frombuffer(path.read_bytes(), np.uint8)
        for path in files
    }


def time_them(task: Mapping[str, Any]) -> Answer:
    """Both programs in turns in all parts of the event, the first beside a copy of itself, and repeats.

    They are loaded anew for each instance: where a program lies in memory decides some percent of its time.
    """
    one = event(task["event"])
    inputs = load_file(task["inputs"])["fresh"]
    clocked = Clocked(one, inputs, task)
    for number in range(task["instances"]):
        clocked.instance(number)
    figures = {
        "rounds": [_plain(r) for r in clocked.rounds],
        "repeated": clocked.repeated(),
        "cpu": {name: used / max(wall, 1) for name, (used, wall) in clocked.cpu.items()},
    }
    return figures, clocked.outputs


class Clocked:
    """Races in one process: rounds by part, outputs of timed queries, CPU time over wall time by program."""

    def __init__(self, one: Event, inputs: Array, task: Mapping[str, Any]) -> None:
        self.event, self.inputs, self.task = one, inputs, task
        self.rounds: list[Rounds] = []
        self.outputs: dict[str, Array] = {}
        self.cpu = {name: [0, 0] for name in ("first", "again", "second")}
        self.arms: dict[str, Arm] = {}
        self.places: list[Array] = []

    def instance(self, number: int) -> None:
        """Load both programs and a copy of the first, in an order and at places that chance says; race."""
        rng = np.random.default_rng([self.task["seed"], self.task["process"], number])
        names = ["first", "again", "second"] if self.task["control"] else ["first", "second"]
        self.arms, self.places = {}, []
        for name in rng.permutation(names).tolist():
            self.places.append(np.ones(int(rng.integers(1, 4096)) * 64, np.uint8))
            which = "second" if name == "second" else "first"
            self.arms[name] = Arm(admitted(Path(self.task["programs"][which]), self.event), self.event)
            for way in self.task["derived"][which]:
                self.arms[name].make(way)
        for part in (*self.event.parts, "offline"):
            for other in names[1:]:
                label = part if other == "second" else f"control {part}"
                self.race(other, part, label, swap=bool(rng.integers(2)))

    def race(self, other: str, part: str, label: str, swap: bool) -> None:
        """The first program beside another one."""
        lanes = {name: self.arms[name].lane(part, self.inputs) for name in ("first", other)}
        count = self.task["rounds"][part]
        self.rounds.append(race(lanes["first"], lanes[other], count, label, self.task["process"], swap))
        for name, lane in lanes.items():
            self.cpu[name] = [self.cpu[name][0] + lane.cpu, self.cpu[name][1] + lane.wall]
        if label == self.event.parts[0]:
            self.outputs = _kept("second", lanes["second"])

    def repeated(self) -> float:
        """How many times faster the second program answers what it was just asked."""
        if not self.task["repeats"]:
            return 1.0
        return repeated(self.arms["second"].lane(self.event.parts[0], self.inputs), self.task["repeats"])


def _kept(name: str, lane: Lane) -> dict[str, Array]:
    """The outputs of timed queries, and which inputs they belong to; of text a few."""
    at = sorted(lane.outputs)[: 8 if lane.inputs.dtype == np.int64 else None]
    found = np.concatenate([lane.outputs[i] for i in at])
    return {f"{name} at": np.array(at, np.int64), f"{name} outputs": found}


def _plain(rounds: Rounds) -> dict[str, Any]:
    return {name: getattr(rounds, name) for name in rounds.__struct_fields__}


def measure_memory(task: Mapping[str, Any]) -> Answer:
    """Bytes that a program takes as it plans them, and by how much this process grew for it.

    All that the runner itself needs is there before: another program, `idle`, runs first.
    """
    one = event(task["event"])
    graph = admitted(Path(task["program"]), one)
    inputs = load_file(task["inputs"])["fresh"]
    Arm(admitted(Path(task["idle"]), one), one).one(inputs[:1])
    give_back()
    before = resident_size()
    arm = Arm(graph, one)
    for i in range(min(16, len(inputs))):
        arm.one(inputs[i : i + 1])
    give_back()
    arena, resident = arm.bytes
    after = resident_size()
    grown = 0 if before is None or after is None else max(0, after - before)
    return {"arena": arena, "resident": resident, "grown": grown}, {}


def again(task: Mapping[str, Any]) -> Answer:
    """The outputs on inputs that were timed elsewhere, one after the other."""
    one = event(task["event"])
    arm = Arm(admitted(Path(task["program"]), one), one)
    inputs = load_file(task["inputs"])["fresh"]
    return {}, {"outputs": arm.all(inputs[np.array(task["at"], np.int64)])}


TASKS: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
    "check": check,
    "quality": quality,
    "ready": ready,
    "time": time_them,
    "memory": measure_memory,
    "again": again,
}


def main(line: int) -> None:
    """Do the task that stands on standard input, and send the answer, or why there is none."""
    out = os.fdopen(line, "wb")
    task = json.loads(sys.stdin.buffer.read())
    console.set_quiet(True)
    set_num_threads(1)
    clock.now += 1
    if task.get("cache"):
        shutil.copytree(task["cache"], ".", dirs_exist_ok=True)
    try:
        figures, arrays = TASKS[task["mode"]](task)
    except TinyTorchError as error:
        figures, arrays = {"refused": " ".join(str(error).split())}, {}
    with out:
        out.write(save(arrays or {"none": np.zeros(0, np.uint8)}, {"answer": json.dumps(figures)}))
