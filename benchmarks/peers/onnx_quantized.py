"""ONNX Runtime's own quantization as a peer: dynamic, and static with its QDQ form, whichever runs faster."""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime.quantization as quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.arm import BINDING, RUNTIME, Arm
from benchmarks.peers.onnx_runtime import DECOMPOSED, INPUT, bound, exported, open_session
from tinytorch import nn
from tinytorch.ops.spec import Array


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Gives out the calibration inputs, one after the other."""

    def __init__(self, inputs: Sequence[Array]) -> None:
        self._inputs: Iterator[Array] = iter(inputs)

    def get_next(self) -> dict[str, Array] | None:
        found = next(self._inputs, None)
        return None if found is None else {INPUT: found}


def forward(model: nn.Module, x: Array, threads: int, calibration: Sequence[Array]) -> list[Arm]:
    """The model quantized in each way, by `run` and by IOBinding; calibration inputs are shaped as x."""
    logging.disable(logging.WARNING)
    arms = []
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        plain.write_bytes(exported(model, x, DECOMPOSED))
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        for how, content in _ways(ready, Path(folder), calibration):
            session = open_session(content, threads)
            binding, out = bound(session, x)
            arms.append(Arm(RUNTIME, how, functools.partial(session.run, None, {INPUT: x}), _first))
            run = functools.partial(session.run_with_iobinding, binding)
            arms.append(Arm(BINDING, how, run, functools.partial(_held, out)))
    logging.disable(logging.NOTSET)
    return arms


def _ways(ready: Path, folder: Path, calibration: Sequence[Array]) -> Iterator[tuple[str, bytes]]:
    signed, unsigned = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
    target = folder / "quantized.onnx"
    quantization.quantize_dynamic(str(ready), str(target), weight_type=signed)
    yield "INT8, dynamic", target.read_bytes()
    for name, kind in (("u8s8", unsigned), ("s8s8", signed)):
        quantization.quantize_static(
            str(ready),
            str(target),
            _Reader(calibration),
            activation_type=kind,
            weight_type=signed,
            per_channel=True,
        )
        yield f"INT8, static {name}", target.read_bytes()


def _first(outputs: list[Array]) -> Array:
    return outputs[0]


def _held(out: Any, _: None) -> Array:
    found: Array = out.numpy()
    return found
