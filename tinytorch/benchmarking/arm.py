"""A program ready to be measured: one sample at a time, in batches, and, for text, writing over a cache."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tinytorch.acceleration.compiled import without_collector
from tinytorch.acceleration.explain import memory
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.replay import Replay
from tinytorch.acceleration.runner import Runner, make_runner
from tinytorch.acceleration.trace import trace
from tinytorch.benchmarking.events import Event
from tinytorch.benchmarking.race import Lane
from tinytorch.benchmarking.samples import NEW, PROMPT
from tinytorch.caching.decoder import Decoder
from tinytorch.caching.programs import ProgramLanguage
from tinytorch.errors import TinyTorchError
from tinytorch.ops.base import clock
from tinytorch.ops.context import grad_mode, meta
from tinytorch.ops.spec import Array
from tinytorch.tensor import zeros

SAME = 1e-3
"""How far the results of two ways to run one program may lie apart in the mean, as a share of their spread:
sums in another order, and codes that round the other way."""
WAYS = {
    "batches": "no batches, one sample after the other",
    "writing": "no cache, all tokens again for each",
}
"""What is derived from a program, and what takes its place where that cannot be."""


class Arm:
    """One program of an event, compiled. What cannot be derived from it is run in the plain way, and `notes`
    say why: a batch sample by sample, text without a cache.
    """

    def __init__(self, graph: Graph, event: Event) -> None:
        begun = time.perf_counter()
        self.event, self.graph = event, graph
        self.notes: list[str] = []
        self.single = _runner(graph)
        self.single.run([np.zeros(event.inputs.shape, event.inputs.dtype)], clock.now)
        self.load_seconds = time.perf_counter() - begun
        """Reading, preparing and a first run of the program as it is."""
        self._batched: Runner | None = None
        self._decoder: Decoder | None = None

    # ------------------------------------------------------------ one sample

    def one(self, x: Array) -> Array:
        """The output for one input, both with their batch of 1."""
        return self.single.run([x], clock.now)[0]

    def all(self, inputs: Array) -> Array:
        """The outputs for inputs (count, ...), one after the other: (count, ...)."""
        return np.concatenate([self.one(inputs[i : i + 1]) for i in range(len(inputs))])

    # ------------------------------------------------------------ many samples

    def derive(self, probe: Array) -> list[str]:
        """Make the programs for batches and for writing; which of them give the same as the program itself.

        probe: inputs (batch, ...) to compare on.
        """
        wanted, held = self.all(probe), []
        for way, why in WAYS.items():
            try:
                if self.make(way):
                    if way == "batches":
                        self._require_same(self.batch(probe), wanted)
                    else:
                        self._require_same(self._read(probe[0]), wanted[0, PROMPT - 1 :])
                    held.append(way)
            except TinyTorchError as error:
                self._forget(way)
                self.notes.append(f"{why}: {error}")
        return held

    def make(self, way: str) -> bool:
        """Make the programs of one of the WAYS, unchecked; False for an event without it."""
        if way == "batches":
            self._batched = batched(self.graph, self.event)
        elif self.event.kind == "text":
            self._decoder = Decoder(ProgramLanguage(self.graph))
        else:
            return False
        return True

    def _forget(self, way: str) -> None:
        if way == "batches":
            self._batched = None
        else:
            self._decoder = None

    def _read(self, text: Array) -> Array:
        """The logits behind the prompt and each byte that follows it in a text (t,), fed over the cache."""
        assert self._decoder is not None, "there is one"
        found = [self._decoder.start([text[:PROMPT].tolist()])]
        found += [self._decoder.feed(text[None, i : i + 1]) for i in range(PROMPT, len(text))]
        return np.concatenate(found)

    def _require_same(self, found: Array, wanted: Array) -> None:
        apart, spread = float(np.abs(found - wanted).mean()), float(wanted.std())
        if not found.shape == wanted.shape or not apart <= max(SAME, 30 * SAME * self._coarse()) * spread:
            raise TinyTorchError(f"results differ by {apart:.2g} in the mean, of a spread of {spread:.2g}")

    def _coarse(self) -> bool:
        """Whether inputs of layers become codes, so that a rounding may go either way."""
        return any("quantize" in call.op.name for call in self.graph.calls)

    def batch(self, inputs: Array) -> Array:
        """The outputs for one batch of the event's size."""
        if self._batched is None:
            return self.all(inputs)
        return self._batched.run([inputs], clock.now)[0]

    def write(self, prompt: Array, count: int = NEW) -> Array:
        """The bytes that follow a prompt (n,), each the likeliest: (count,)."""
        if self._decoder is None:
            return self._write_slowly(prompt, count)
        found = np.zeros(count, np.int64)
        logits = self._decoder.start([prompt.tolist()])
        for i in range(count):
            found[i] = logits[0].argmax()
            if i + 1 < count:
                logits = self._decoder.feed(found[None, i : i + 1])
        return found

    def _write_slowly(self, prompt: Array, count: int) -> Array:
        text = np.zeros(self.event.inputs.shape, np.int64)
        text[0, : len(prompt)] = prompt
        for i in range(len(prompt), len(prompt) + count):
            following = self.one(text)[0, i - 1].argmax()
            if i < text.shape[1]:
                text[0, i] = following
            last = following
        return np.append(text[0, len(prompt) :], last)[:count]

    # ------------------------------------------------------------ what it takes

    def query(self, part: str) -> Callable[[Array], Array]:
        """What is timed: a function of one sample (1, ...), by the name of a part of the event."""
        if part == "generate":
            return lambda x: self.write(x[0, :PROMPT])
        return self.one

    def lane(self, part: str, inputs: Array) -> Lane:
        """What takes part in a race: samples (n, ...) one by one or, for "offline", in batches."""
        if part != "offline":
            return Lane(self.query(part), inputs)
        size = self.event.batch
        batches = inputs[: len(inputs) // size * size].reshape(-1, size, *inputs.shape[1:])
        return Lane(lambda x: self.batch(x[0]), batches)

    @property
    def bytes(self) -> tuple[int, int]:
        """Of the arena and of what stays in memory, in the program for one sample."""
        return footprint(self.single)


def batched(graph: Graph, event: Event) -> Runner:
    """The program for the event's batches; raises ProgramError where it cannot be derived."""
    model = Replay(graph)
    with without_collector(), meta(), grad_mode(False):
        x = zeros(event.batch, *event.inputs.shape[1:], dtype=event.inputs.dtype)
        traced = trace(model, (x,)).graph
    return _runner(traced)


def _runner(graph: Graph) -> Runner:
    with without_collector():
        return make_runner(optimise(graph))


def footprint(runner: Runner) -> tuple[int, int]:
    """Bytes of the arena, and of weights, constants and their packed copies; each array counts once."""
    graph = runner.graph
    kept = {id(a): a.nbytes for a in (*(t._array for t in graph.states.values()), *graph.constants.values())}
    if not isinstance(runner, Program):
        return memory(graph)[1], sum(kept.values())
    kept |= {id(array): array.nbytes for array in runner._held.values()}
    return runner.layout.arena_bytes, sum(kept.values())
