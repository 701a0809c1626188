"""A loaded program is quantized like the model that it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.errors import QuantizationError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.nn import Module
from tinytorch.nn.functional import mse_loss
from tinytorch.optim import SGD
from tinytorch.quantization import quantize
from tinytorch.random import Generator

MODELS = {
    "mlp": lambda: MLP((32, 16, 8), generator=Generator(1)),
    "cnn": lambda: CNN(image_size=8, generator=Generator(1)),
    "gpt": lambda: GPT(20, 8, 16, 1, 2, generator=Generator(1)),
}


@pytest.mark.parametrize("name", MODELS)
def test_codes_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    model: Module = MODELS[name]()
    x = model.example_input
    assert x is not None
    fast = tt.compile(model)
    with tt.no_grad():
        fast(x)
    fast.save(tmp_path / "program.ttp")
    program = tt.load_program(tmp_path / "program.ttp")
    made = quantize(program, [x], "int8", prefer="size", max_loss=1e9)
    wanted = quantize(model, [x], "int8", prefer="size", max_loss=1e9)
    kept = [layer.path.replace(".", "_") for layer in wanted.report().layers]
    found = [layer.path for layer in made.report().layers]
    assert set(found) <= set(kept)
    assert len(found) >= len(kept) - 1  # a table that is read as a whole is no layer of a program
    again = tt.compile(made)
    with tt.no_grad():
        np.testing.assert_allclose(made(x).data, wanted(x).data, atol=2e-2 * np.abs(wanted(x).data).max())
        again(x)
    again.save(tmp_path / "small.ttc", compact=True)
    small = tt.load_program(tmp_path / "small.ttc")
    with tt.no_grad():
        np.testing.assert_allclose(small(x).data, made(x).data, atol=1e-5)  # type: ignore[union-attr]
    assert (tmp_path / "small.ttc").stat().st_size < (tmp_path / "program.ttp").stat().st_size


def test_a_program_that_trains_is_refused(tmp_path: Path) -> None:
    model = MLP((4, 3))
    optimizer = SGD(list(model.parameters()), lr=0.1)

    def step(x: tt.Tensor) -> tt.Tensor:
        optimizer.zero_grad()
        loss = mse_loss(model(x), tt.zeros(2, 3))
        loss.backward()
        optimizer.step()
        return loss.detach()

    fast, x = tt.compile(step), tt.ones(2, 4)
    for _ in range(3):
        fast(x)
    fast.save(tmp_path / "step.ttp")
    with pytest.raises(QuantizationError, match="changes states"):
        quantize(tt.load_program(tmp_path / "step.ttp"), [x])
