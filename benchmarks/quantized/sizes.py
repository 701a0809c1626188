"""Bytes three ways: of files, by kind; of weights in memory, by MemoryProfiler; read by kernels."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import zstandard
from safetensors.numpy import save

import tinytorch as tt
from benchmarks.quantized.accuracy import quantized
from benchmarks.quantized.trained import model
from tinytorch.nn import Module
from tinytorch.profiling import MemoryProfiler
from tinytorch.quantization.speed import weight_bytes
from tinytorch.training.files import tensors_of


@dataclass(frozen=True)
class Line:
    """A model in one form: bytes of its file, and how many times smaller than float32 that is."""

    name: str
    form: str
    file: int
    ratio: float
    resident: int | None = None
    read: int | None = None


def lines(name: str) -> list[Line]:
    """The forms of a model, float32 first."""
    network = model(name)
    plain = save(tensors_of(network))
    whole = len(plain)
    found = [Line(name, "float32 safetensors", whole, 1.0, resident(network), read(network))]
    packed = zstandard.ZstdCompressor(level=19).compress(plain)
    found.append(Line(name, "the same, zstandard", len(packed), whole / len(packed)))
    for scheme, compact in (("float16", True), ("int8", False), ("int8", True), ("mixed", True)):
        made = quantized(name, scheme)
        size = program_bytes(made, compact)
        what = f"{scheme} program{', entropy-coded' if compact else ''}"
        found.append(Line(name, what, size, whole / size, resident(made), read(made)))
    return found


def program_bytes(network: Module, compact: bool) -> int:
    """Bytes of the program of a model as a file."""
    fast = tt.compile(network)
    with tt.no_grad(), tempfile.TemporaryDirectory() as folder:
        fast(network.example_input)
        path = Path(folder) / "program"
        fast.save(path, compact=compact)
        return path.stat().st_size


def resident(network: Module) -> int:
    """Bytes of weights in memory, as MemoryProfiler finds them: parameters, and buffers such as codes."""
    given = network.example_input
    assert given is not None
    with tt.no_grad():
        use = MemoryProfiler().profile(network, args=(given,), repeats=1)
    return use.parameters + use.buffers


def read(network: Module) -> int | None:
    """Bytes of weights that the kernels of the compiled model read in a run."""
    assert network.example_input is not None
    return weight_bytes(network, network.example_input)
