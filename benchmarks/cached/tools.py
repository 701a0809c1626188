"""The tools of lessons 15 to 18 on SmolLM2 in float32, unmodified: what they find, gain and lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import tinytorch as tt
from tinytorch import console, data
from tinytorch.autograd import no_grad
from tinytorch.caching.language import load_language
from tinytorch.compression.lowrank import factorize
from tinytorch.compression.prune import prune
from tinytorch.compression.structure import shrink
from tinytorch.errors import TinyTorchError
from tinytorch.nn.module import Module
from tinytorch.profiling import profile_model
from tinytorch.profiling.timing.compare import compare
from tinytorch.quantization import quantize
from tinytorch.quantization.calibrate import Batch
from tinytorch.quantization.score import losses
from tinytorch.quantization.speed import race
from tinytorch.tensor import Tensor, from_numpy
from tinytorch.training import next_token_loss

LENGTH, CALIBRATION, VALIDATION, TEST = 128, 8, 1, 16


@dataclass(frozen=True)
class Line:
    """A tool or a technique: nats a token on test text, and what else it says."""

    name: str
    loss: float | None
    says: str


def lines(rounds: int) -> list[Line]:
    """One line for each."""
    language = load_language("smollm2", expand=True)
    model = language.model
    calibration, validation, test = (
        _windows(language.tokenizer, split, count)
        for split, count in (("train", CALIBRATION), ("validation", VALIDATION), ("test", TEST))
    )
    x = calibration[0][0]
    found = [
        Line("float32, expanded from the file", loss_of(model, test), f"{model.num_parameters():,} weights")
    ]
    found += [_profiled(model, x), _compiled(model, x, rounds)]
    ways: dict[str, Callable[[], Module]] = {
        "int8, each layer by row": lambda: quantize(
            model, calibration, "int8", validation=validation, prefer="size", max_loss=1e9, scan=False
        ),
        "int4-g128": lambda: quantize(
            model, calibration, "int4-g128", validation=validation, prefer="size", max_loss=1e9, scan=False
        ),
        "magnitude, 50 % of each layer": lambda: prune(model, 0.5, scope="layer").model,
        "Wanda, 50 %": lambda: (
            prune(model, 0.5, scope="output", score="wanda", calibration=calibration).model
        ),
        "a tenth of the neurons, by weights": lambda: shrink(model, x, 0.1).model,
        "a tenth of the neurons, Taylor": lambda: (
            shrink(model, x, 0.1, score="taylor", batches=calibration, loss=next_token_loss).model
        ),
        "low rank, 95 % of energy, by results": lambda: factorize(
            model, energy=0.95, calibration=calibration
        )[0],
    }
    for name, make in ways.items():
        console.notice(f"smollm2: {name}")
        found.append(_line(name, make, model, x, test, rounds))
    return found


def _line(
    name: str, make: Callable[[], Module], model: Module, x: Tensor, test: list[Batch], rounds: int
) -> Line:
    try:
        made = make().eval()
        raced = race(model, made, x, rounds=rounds)
    except TinyTorchError as error:
        return Line(name, None, f"refused: {error}")
    gain = raced.gain
    return Line(
        name,
        loss_of(made, test),
        f"a pass of {LENGTH} tokens: {gain.value:.2f} [{gain.low:.2f}, {gain.high:.2f}]",
    )


def _profiled(model: Module, x: Tensor) -> Line:
    with no_grad():
        found = profile_model(model, args=(x,))
    work = next(line for line in repr(found).splitlines() if line.startswith("work"))
    return Line("profiler, a pass of 128 tokens", None, work.removeprefix("work").strip())


def _compiled(model: Module, x: Tensor, rounds: int) -> Line:
    fast = tt.compile(model)
    with no_grad():
        for _ in range(3):
            fast(x)
        found = compare(lambda: model(x), lambda: fast(x), names=["eager", "compiled"], runs=rounds)
    (verdict,) = found.verdicts
    return Line("compiled, a pass of 128 tokens", None, str(verdict))


def loss_of(model: Module, batches: list[Batch]) -> float:
    """Nats a token."""
    with no_grad():
        found = [losses(model(x).numpy(), y.numpy()) for x, y in batches]
    return float(np.concatenate(found).mean())


def _windows(tokenizer: object, split: str, count: int) -> list[Batch]:
    """Windows at even distances over the text of a split, each with the tokens that follow."""
    text = data.load("pydocs", split).text
    starts = np.linspace(0, len(text) - 8 * LENGTH, count).astype(int)
    found: list[Batch] = []
    for start in starts:
        ids = tokenizer.encode(text[start : start + 8 * LENGTH])[: LENGTH + 1].astype(np.int64)
        found.append((from_numpy(ids[None, :-1].copy()), from_numpy(ids[None, 1:].copy())))
    return found
