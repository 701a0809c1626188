"""ONNX Runtime as a peer: the model exported from PyTorch, `run`, and IOBinding beside it."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
import torch

from benchmarks.interleave import per_call
from benchmarks.peers.arm import BINDING, RUNTIME, Arm, uses
from tinytorch import nn
from tinytorch.ops.spec import Array
from tinytorch.profiling.pytorch.twin import twin_of

DECOMPOSED, ATTENTION = 18, 23
"""Versions of ONNX's operators: in the first, attention is written out; the second has an operator for it."""
INPUT, OUTPUT = "x", "y"
Export: TypeAlias = Callable[[int], bytes]
"""A model as ONNX, by version of the operators; made once, though several peers read it."""


def forward(model: nn.Module, x: Array, threads: int, export: Export) -> list[Arm]:
    """A forward pass through `run` and through IOBinding; with attention, exported in both ways."""
    arms = []
    for version in (DECOMPOSED, ATTENTION) if uses(model, nn.MultiHeadAttention) else (DECOMPOSED,):
        session = open_session(export(version), threads)
        binding, out = bound(session, x)
        how = "" if version == DECOMPOSED else f"operators {version}"
        run = functools.partial(session.run, None, {INPUT: x})
        arms.append(Arm(RUNTIME, how, run, _first))
        arms.append(
            Arm(
                BINDING,
                how,
                functools.partial(session.run_with_iobinding, binding),
                functools.partial(_held, out),
                functools.partial(_lowest, session, binding),
                "lowest entry",
            )
        )
    return arms


def exported(model: nn.Module, x: Array, version: int) -> bytes:
    """A model as ONNX with static shapes, from the twin in PyTorch."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            twin_of(model).eval(),
            (torch.from_numpy(x.copy()),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=version,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def open_session(content: bytes, threads: int) -> Any:
    """A session with all of ONNX Runtime's optimisations, on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def bound(session: Any, x: Array) -> tuple[Any, Any]:
    """A binding of input and output to memory that stays, and the output."""
    binding = session.io_binding()
    shape = session.get_outputs()[0].shape
    out = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(shape, np.float32))
    binding.bind_ortvalue_input(INPUT, onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output(OUTPUT, out)
    return binding, out


def _first(outputs: list[Array]) -> Array:
    return outputs[0]


def _held(out: Any, _: None) -> Array:
    found: Array = out.numpy()
    return found


def _lowest(session: Any, binding: Any) -> Callable[[int], float]:
    """A function of n: seconds of one of n calls in C++ below IOBinding's; there is no loop of its own."""
    inside = functools.partial(session._sess.run_with_iobinding, binding._iobinding, None)
    return functools.partial(per_call, inside)
