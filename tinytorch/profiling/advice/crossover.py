"""What attention takes of a model's time, and the length at which it passes half of a transformer block's."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch import console
from tinytorch.errors import ProfilingError
from tinytorch.nn.attention import MultiHeadAttention
from tinytorch.nn.module import Module
from tinytorch.nn.transformer import TransformerBlock
from tinytorch.ops.context import grad_mode
from tinytorch.profiling import words
from tinytorch.profiling.advice.scaling import example
from tinytorch.profiling.statistics import Estimate, median
from tinytorch.profiling.timing.timer import collector_off
from tinytorch.profiling.trace import OpTimer, Pass
from tinytorch.profiling.tree import modules_by_path
from tinytorch.random import Generator
from tinytorch.threads import get_num_threads

OP = "attention"
HALF = 0.5
LENGTHS = (32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class AttentionShare:
    """The shares of a pass's time that attention takes, and for what they were measured.

    `core`: the attention op alone (scores, softmax, weighted sum), with the Python that led to it; `module`:
    with the projections of queries, keys, values and output.
    """

    core: Estimate
    module: Estimate
    configuration: str

    def __str__(self) -> str:
        return (
            f"Attention takes {words.shared(self.module)} of the time with its projections, "
            f"{words.shared(self.core)} without ({self.configuration})."
        )


def attention_share(
    model: Module, batch: int = 1, seq: int | None = None, rounds: int = 20
) -> AttentionShare:
    """What attention takes of a forward pass on random token ids: (batch, seq); `seq` None: the example's.

    Nothing is recorded for backward. Raises ProfilingError for a model without attention, or without an
    `example_input` of token ids, and for sizes below 1; ShapeError for a length beyond the model's context.

    >>> from tinytorch.models import GPT
    >>> share = attention_share(GPT(width=16, layers=1, heads=2), seq=8, rounds=3)
    >>> 0 < share.core.value < share.module.value < 1
    True
    """
    inside = [path for path, one in modules_by_path(model).items() if isinstance(one, MultiHeadAttention)]
    if not inside:
        raise ProfilingError(f"{type(model).__name__} has no MultiHeadAttention in it")
    if min(batch, rounds, seq or 1) < 1 or seq == 0:
        raise ProfilingError(
            f"attention_share: batch={batch}, seq={seq}, rounds={rounds}; expected 1 or more"
        )
    x = example(model, batch, seq or 0)
    if x.ndim != 2 or x.dtype.kind != "i":
        raise ProfilingError(f"{type(model).__name__} takes {x.dtype} {x.shape}, no token ids (batch, t)")
    passes = _watched([lambda: model(x)], rounds, "attention's share")[0]
    shares = [shares_of(one, inside) for one in passes]
    details = [f"{type(model).__name__}({_details(model)})", f"batch {batch}, {x.shape[1]} tokens"]
    details += ["training" if model.training else "eval", _threads()]
    return AttentionShare(
        median([core for core, _ in shares]), median([whole for _, whole in shares]), ", ".join(details)
    )


def shares_of(one: Pass, inside: Collection[str]) -> tuple[float, float]:
    """The shares of a pass's time that attention ops take, and all within the modules at these paths.

    Both from 0 to 1, of the whole pass, by the first dict of `one.self_times()`. Attention ops are those
    named `OP`, wherever they run. Within a module at "blocks.0.attn" is what is filed under that path, and
    under those that begin with "blocks.0.attn."; not "blocks.0.attn2".

    >>> shares_of(Pass(0, 100, ()), ["attn"])
    (0.0, 0.0)
    """
    times, _ = one.self_times()
    whole = sum(times.values())
    core = sum(seconds for key, seconds in times.items() if key.op == OP)
    below = tuple(f"{path}." for path in inside)
    module = sum(
        seconds for key, seconds in times.items() if key.path in inside or key.path.startswith(below)
    )
    return core / whole, module / whole


def _watched(
    calls: Sequence[Callable[[], object]], rounds: int, what: str, seed: int = 0
) -> list[list[Pass]]:
    """Watched passes of each call, one a round, in random order."""
    rng = np.random.default_rng(seed)
    found: list[list[Pass]] = [[] for _ in calls]
    timer = OpTimer()
    with grad_mode(False), collector_off(), console.progress(rounds, what, "rounds") as bar:
        for number in range(1, rounds + 1):
            for i in rng.permutation(len(calls)).tolist():
                calls[i]()
                found[i].append(timer.run(calls[i])[0])
            bar.update(number)
    return found


def _details(model: Module) -> str:
    return model.extra_repr().replace("\n", " ")


def _threads() -> str:
    number = get_num_threads()
    return f"{number} thread{'s' if number != 1 else ''}"


# ---------------------------------------------------------------- the length at which it passes half


@dataclass(frozen=True)
class Crossing:
    """The length at which a share passes half; `at` is None where it does not up to the longest one.

    An end of the interval is None where so many rounds do not reach half that it has no bound. Where the
    share is half or more at the shortest length already, `at` is that, and `already` says so.
    """

    at: Estimate | None
    shortest: int
    longest: int
    already: bool = False

    def __str__(self) -> str:
        if self.at is None:
            return f"not reached up to {self.longest:,} tokens"
        if self.already:
            return f"at {self.shortest:,} tokens, the shortest length, already"
        high = f"beyond {self.longest:,}" if self.at.high is None else f"{self.at.high:,.0f}"
        return f"at {self.at.value:,.0f} tokens [{words.figure(self.at.low)}, {high}]"


@dataclass(frozen=True)
class Crossover:
    """Attention's shares of a block's time at each length, and where they pass half; see AttentionShare."""

    lengths: tuple[int, ...]
    core: tuple[Estimate, ...]
    module: tuple[Estimate, ...]
    core_crossing: Crossing
    module_crossing: Crossing
    configuration: str

    def __str__(self) -> str:
        return (
            f"Attention passes half of a block's time: without its projections, {self.core_crossing}; with "
            f"them, {self.module_crossing} ({self.configuration})."
        )


def crossover(
    width: int = 128,
    heads: int = 4,
    lengths: Sequence[int] = LENGTHS,
    rounds: int = 20,
    batch: int = 1,
    causal: bool = True,
) -> Crossover:
    """Measure a TransformerBlock at several lengths, and where attention passes half of its time.

    Raises ProfilingError for fewer than two different lengths, and for sizes below 1.

    >>> crossover(width=16, heads=2, lengths=(4, 8), rounds=2).lengths
    (4, 8)
    """
    lengths = tuple(sorted(lengths))
    if len({*lengths}) < 2 or len({*lengths}) != len(lengths) or min(*lengths, rounds, batch) < 1:
        raise ProfilingError(
            f"crossover: lengths {lengths}, rounds={rounds}, batch={batch}; expected two different lengths "
            "or more, and nothing below 1"
        )
    rng = Generator(0)
    block = TransformerBlock(width, heads, causal=causal, generator=rng)
    block.eval()
    inputs = [rng.randn(batch, length, width) for length in lengths]
    passes = _watched([(lambda x=x: block(x)) for x in inputs], rounds, "attention by length")  # type: ignore[misc]
    shares = np.array([[shares_of(one, ["attn"]) for one in found] for found in passes])
    core, module = shares[:, :, 0], shares[:, :, 1]
    about = (
        f"width {width}, {heads} heads, batch {batch}, {'causal' if causal else 'not causal'}, {_threads()}"
    )
    return Crossover(
        lengths,
        tuple(median(row) for row in core),
        tuple(median(row) for row in module),
        crossing(lengths, core.T.tolist()),
        crossing(lengths, module.T.tolist()),
        about,
    )


def crossing(lengths: Sequence[int], rounds: Sequence[Sequence[float]]) -> Crossing:
    """Where the share passes half: the median over rounds, each a share at every length, shortest first.

    Within a round the shares are made to rise (isotonic regression, Barlow et al., "Statistical inference
    under order restrictions", 1972) and half is found between two lengths by their logarithms.

    >>> str(crossing((64, 256), [[0.4, 0.6]] * 8))
    'at 128 tokens [128, 128]'
    >>> str(crossing((64, 256), [[0.1, 0.2]] * 8))
    'not reached up to 256 tokens'
    """
    found = [_passes_half(lengths, shares) for shares in rounds]
    beyond = 2.0 * lengths[-1]  # stands for any length that was not tried: only its rank counts
    around = median([beyond if math.isinf(length) else length for length in found])
    if around.value > lengths[-1]:
        return Crossing(None, lengths[0], lengths[-1])
    ends = (None if end is None or end > lengths[-1] else end for end in (around.low, around.high))
    return Crossing(Estimate(around.value, *ends), lengths[0], lengths[-1], around.value <= lengths[0])


def _passes_half(lengths: Sequence[int], shares: Sequence[float]) -> float:
    """The length at which one round's shares pass half; the first where all do, infinity where none does."""
    from scipy.optimize import isotonic_regression

    rising = isotonic_regression(shares).x
    above = np.flatnonzero(rising >= HALF)
    if not above.size:
        return math.inf
    i = int(above[0])
    if i == 0:
        return float(lengths[0])
    part = (HALF - rising[i - 1]) / (rising[i] - rising[i - 1])
    return float(lengths[i - 1] * (lengths[i] / lengths[i - 1]) ** part)
