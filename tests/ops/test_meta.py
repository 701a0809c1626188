"""Meta tensors: every op infers there what it computes elsewhere, and nothing is touched."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import tinytorch as tt
from tests.ops.test_samples import CASES, Case
from tinytorch import models, nn, optim
from tinytorch.autograd import grad
from tinytorch.errors import MetaError, ShapeError
from tinytorch.nn import functional
from tinytorch.ops.meta import NoData
from tinytorch.ops.spec import Spec, float32

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def specs(tensors: tuple[tt.Tensor | None, ...]) -> list[Spec | None]:
    return [None if t is None else Spec(t.shape, t.dtype) for t in tensors]


def results(case: Case) -> tuple[list[Spec | None], list[Spec | None]]:
    """Specs of the outputs, and of the gradients of output 0."""
    inputs = [tt.Tensor(array) for array in case.arrays(float32)]
    if not case.differentiable:
        with tt.no_grad():
            return specs(case.op.all(*inputs)), []
    wanted = [t.requires_grad_() for t in inputs if t.dtype.kind == "f"]
    outs = case.op.all(*inputs)
    return specs(outs), specs(grad(outs[0], wanted, tt.zeros(*outs[0].shape, dtype=outs[0].dtype)))


@every
def test_meta_agrees_with_computing(case: Case) -> None:
    computed = results(case)
    with tt.meta():
        assert results(case) == computed


def test_a_gpt_of_any_size_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        with tt.meta():
            model = models.GPT(50257, 1024, 1600, 48, 25)
            out = model(tt.zeros(1, 1024, dtype="int64"))
            loss = functional.cross_entropy(out.reshape(-1, 50257), tt.zeros(1024, dtype="int64"))
            loss.backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert model.num_parameters() == 1_557_611_200  # GPT-2 XL: 1,558 million
    assert model.wte.weight.grad is not None
    assert model.wte.weight.grad.shape == (50257, 1600)
    assert peak < 30e6


def test_a_training_step_changes_nothing() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2), nn.Dropout(0.5)
    )
    step = optim.AdamW(model.parameters(), 0.1)
    generator = tt.Generator(3)
    before = {k: v.numpy() for k, v in model.state_dict().items()}
    draws = generator.state.numpy()
    with tt.meta():
        x = generator.rand(5, 1, 4, 4)
        model(x).sum().backward()
        step.step()
    assert set(before) == set(model.state_dict())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], strict=True)
    np.testing.assert_array_equal(generator.state.numpy(), draws)


@pytest.mark.parametrize(
    "exit",
    [
        lambda x: x.data,
        lambda x: x.item(),
        lambda x: bool(x),
        lambda x: np.asarray(x),
        lambda x: repr(x),
        lambda x: float(x),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
    ],
)
def test_values_do_not_leave(exit) -> None:
    with tt.meta():
        x = tt.ones(1)
        with pytest.raises(MetaError, match="no values"):
            exit(x)
    with pytest.raises(MetaError, match="no values"):
        exit(x)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: x @ x,
        lambda x: x.T @ x,
        lambda x: x.sum(),
        lambda x: x.exp(),
        lambda x: x.reshape(9) * 2.0,
        lambda x: functional.softmax(x),
        lambda x: functional.linear(x, x),
        lambda x: functional.linear(tt.ones(2, 3), x),
    ],
)
def test_outside_of_the_block_ops_refuse(use) -> None:
    with tt.meta():
        x = tt.ones(3, 3)
    assert isinstance(x._array, NoData)
    with pytest.raises(MetaError, match="under meta"):
        use(x)


def test_shapes_are_checked_as_always() -> None:
    with tt.meta(), pytest.raises(ShapeError, match="inner sizes 3 and 2 differ"):
        tt.zeros(2, 3) @ tt.zeros(2, 3)
    assert (tt.ones(2) + 1).tolist() == [2.0, 2.0]
    with pytest.raises(KeyError), tt.meta():
        raise KeyError
    assert tt.ones(1).item() == 1.0
