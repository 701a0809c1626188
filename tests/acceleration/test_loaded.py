"""Programs from files: the same results in a process that has no model, and other inputs refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn
from tinytorch.acceleration.artifact import Limits, save_graph
from tinytorch.acceleration.loaded import load_program
from tinytorch.acceleration.trace import trace
from tinytorch.errors import ProgramError
from tinytorch.models import GPT, MLP

LOAD = """
import sys, numpy as np, tinytorch as tt
program = tt.load_program(sys.argv[1])
print(program)
np.save(sys.argv[2], program(tt.arange(6).reshape(1, 6)).data)
"""


def saved(function: nn.Module, x: tt.Tensor, path: Path) -> None:
    with tt.no_grad():
        save_graph(trace(function, [x]).graph, path)


def test_a_process_without_the_model_gets_the_same(tmp_path: Path) -> None:
    model = GPT(vocab_size=11, context=8, width=16, layers=2, heads=2, generator=tt.Generator(1))
    x = tt.arange(6).reshape(1, 6)
    saved(model, x, tmp_path / "gpt.safetensors")
    arguments = [str(tmp_path / "gpt.safetensors"), str(tmp_path / "out.npy")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == "program(int64[1, 6]) -> float32[1, 6, 11], stateless\n"
    with tt.no_grad():
        expected = model(x).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5, atol=1e-6)


def test_other_inputs_are_refused_by_name(tmp_path: Path) -> None:
    saved(MLP((4, 3)), tt.zeros(2, 4), tmp_path / "mlp.safetensors")
    program = load_program(tmp_path / "mlp.safetensors")
    for given in ((tt.zeros(3, 4),), (tt.zeros(2, 4, dtype="float64"),), (), (tt.zeros(2, 4), tt.zeros(1))):
        with pytest.raises(ProgramError, match=r"takes float32\[2, 4\]; got"):
            program(*given)
    assert program(tt.zeros(2, 4)[:, :]).shape == (2, 3)


def test_a_stateful_program_changes_its_own_state(tmp_path: Path) -> None:
    count = tt.Tensor([1.0])

    def step(x: tt.Tensor) -> tt.Tensor:
        count.assign_(count * 2.0)
        return x + count

    with tt.no_grad():
        save_graph(trace(step, [tt.zeros(1)]).graph, tmp_path / "step.safetensors")
    program = load_program(tmp_path / "step.safetensors")
    assert not program.stateless
    assert [program(tt.zeros(1)).item() for _ in range(3)] == [4.0, 8.0, 16.0]
    assert count.item() == 2.0


def test_limits_are_those_asked_for(tmp_path: Path) -> None:
    saved(MLP((4, 3)), tt.zeros(2, 4), tmp_path / "mlp.safetensors")
    with pytest.raises(ProgramError):
        load_program(tmp_path / "mlp.safetensors", limits=Limits(flops=1))


def test_what_a_compiled_model_shows_and_saves(tmp_path: Path) -> None:
    model, x = MLP((8, 6, 3), generator=tt.Generator(2)), tt.Generator(1).randn(2, 8)
    fast = tt.compile(model)
    with pytest.raises(ProgramError, match="has no program yet"):
        fast.save(tmp_path / "none.safetensors")
    assert "no program" in repr(fast.explain())
    with tt.no_grad():
        expected = fast(x).numpy()
        fast(x)
    assert "2 kernels" in repr(fast.explain())
    assert "for k in range(8):" in fast.source
    assert "define" in fast.llvm
    assert fast.kernel_seconds(3, x) > 0
    fast.save(tmp_path / "mlp.safetensors")
    np.testing.assert_allclose(load_program(tmp_path / "mlp.safetensors")(x).data, expected, rtol=1e-5)
