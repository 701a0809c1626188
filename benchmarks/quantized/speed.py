"""Models on codes, as `quantize` ships them: beside our compiled float32, and ONNX Runtime's INT8."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import tinytorch as tt
from benchmarks.interleave import Ratio, calls_for, interleave, ratio_of
from benchmarks.peers import onnx_quantized
from benchmarks.peers.arm import BINDING, RUNTIME, Arm, fastest
from benchmarks.quantized.trained import model, splits
from tinytorch.models import load_minilm
from tinytorch.nn import Module
from tinytorch.ops.spec import Array
from tinytorch.quantization import quantize
from tinytorch.quantization.calibrate import inputs_of
from tinytorch.quantization.model import QuantizedModel
from tinytorch.tensor import Tensor

FLOAT, CODES = "compiled float32", "INT8"


@dataclass(frozen=True)
class Case:
    """A model, rows of its input, and what must be reached beside float32 and beside ONNX Runtime."""

    name: str
    batch: int
    must: dict[str, float] = field(default_factory=lambda: {FLOAT: 1.0})
    aim: dict[str, float] = field(default_factory=dict)
    peers: bool = False


CASES = (
    Case("mlp", 1, {FLOAT: 1.5, RUNTIME: 2.0}, {FLOAT: 2.0, RUNTIME: 4.0}, peers=True),
    Case("cnn", 1, peers=True),
    Case("cnn", 32, peers=True),
    Case("gpt", 1),
    Case("minilm", 1),
)


@dataclass(frozen=True)
class Found:
    """Ratios of times to that of our codes, the variant of each peer, and layers that stayed in float32."""

    case: Case
    seconds: float
    ratios: dict[str, Ratio]
    how: dict[str, str]
    reverted: tuple[str, ...]


def measure(case: Case, rounds: int) -> Found:
    """Quantize for speed, on an input of the case, and time all in turns."""
    network, given, calibration = _model(case)
    network.example_input = given
    made = _quantized(case, network, calibration)
    arms: dict[str, Arm] = {}
    with tt.no_grad():
        ways = {FLOAT: tt.compile(network), CODES: tt.compile(made)}
        runs = {name: (lambda w=way: w(given)) for name, way in ways.items()}
        for run in runs.values():
            for _ in range(3):
                run()
        if case.peers:
            found = onnx_quantized.forward(network, given.numpy().copy(), 1, _shaped(case))
            for peer in (RUNTIME, BINDING):
                arms[peer] = fastest([arm for arm in found if arm.peer == peer])
                runs[peer] = arms[peer].run
        counts = {name: calls_for(run) for name, run in runs.items()}
        times = interleave(runs, rounds, counts, lead=True)
    ratios = {name: ratio_of(times[CODES], times[name]) for name in runs if name != CODES}
    reverted = tuple(layer.path for layer in made.report().layers if not layer.kept)
    how = {peer: arm.how for peer, arm in arms.items()}
    return Found(case, float(np.median(times[CODES])), ratios, how, reverted)


def _model(case: Case) -> tuple[Module, Tensor, list[Tensor]]:
    if case.name == "minilm":
        network = load_minilm()
        assert network.example_input is not None
        return network, network.example_input, [network.example_input]
    network, given = model(case.name), splits(case.name)
    inputs = [inputs_of(batch)[0] for batch in given.calibration]
    if case.name == "gpt":
        return network, inputs[0][:1, :64].detach().clone(), inputs
    return network, inputs[0][: case.batch].detach().clone(), inputs


def _quantized(case: Case, network: Module, calibration: list[Tensor]) -> QuantizedModel:
    if case.name == "minilm":
        return quantize(network, calibration, "int8", prefer="speed", max_loss=1e9)
    given = splits(case.name)
    return quantize(network, given.calibration, "int8", validation=given.validation, max_loss=1e9)


def _shaped(case: Case) -> list[Array]:
    batches = [inputs_of(batch)[0].data for batch in splits(case.name).calibration]
    whole = np.concatenate(batches)
    count = min(len(whole) // case.batch, 200)
    return [whole[i * case.batch : (i + 1) * case.batch].copy() for i in range(count)]
