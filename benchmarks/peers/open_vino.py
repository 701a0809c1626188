"""OpenVINO as a peer, where it is installed: the model exported from PyTorch, on float32."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

from benchmarks.peers.arm import OPENVINO, Arm, UnavailableError
from benchmarks.peers.onnx_runtime import DECOMPOSED, Export
from tinytorch.ops.spec import Array


def forward(x: Array, threads: int, export: Export) -> list[Arm]:
    """A forward pass of a request that holds its input; raises UnavailableError without OpenVINO."""
    if importlib.util.find_spec("openvino") is None:
        raise UnavailableError("not installed")
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # where the processor has bfloat16, that is its default
    }
    compiled = core.compile_model(core.read_model(export(DECOMPOSED)), "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    return [Arm(OPENVINO, "", request.infer, functools.partial(_output, request))]


def _output(request: Any, _: Any) -> Array:
    found: Array = request.get_output_tensor().data.copy()
    return found
