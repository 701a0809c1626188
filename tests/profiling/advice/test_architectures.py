"""Architectures side by side: figures are those of the counter and the model, times come with intervals."""

import numpy as np
import pytest

from tinytorch import Tensor, nn
from tinytorch.errors import ProfilingError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.ops.context import state
from tinytorch.profiling.advice.architectures import side_by_side
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.profiling.load import Loaded
from tinytorch.profiling.profile import Roof

ROOF = Roof(1e9, {"L1": 2e9, "memory": 1e9}, 1, sizes={"L1": 2**12})


def three() -> list[Loaded]:
    gpt = GPT(vocab_size=16, context=16, width=16, layers=1, heads=2)
    return [Loaded("mlp", MLP(), None), Loaded("cnn", CNN(), None), Loaded("gpt", gpt, None)]


def test_figures_are_those_of_the_counter() -> None:
    models = three()
    found = side_by_side(models, rounds=30, roof=ROOF)
    assert [one.name for one in found] == ["mlp", "cnn", "gpt"]
    for one, loaded in zip(found, models, strict=True):
        model = loaded.function
        counted = FLOPCounter("all").count(model)
        assert one.flops == counted
        assert one.moved == counted.bytes
        assert one.intensity == pytest.approx(counted / counted.bytes)
        assert one.parameters == model.num_parameters()  # type: ignore[attr-defined]
        assert one.rate == pytest.approx(counted / one.seconds.value)
        assert one.ops == sum(row.calls for row in counted.by_op)
        ends = [end for end in (one.seconds.low, one.seconds.high) if end is not None]
        assert min(ends, default=0) <= one.seconds.value <= max(ends, default=1)
        assert one.peak > 0
        assert not model.training  # type: ignore[attr-defined]
        assert one.allowed is not None
        assert one.allowed >= max(counted / ROOF.flops, counted.bytes / 2e9)
    assert found[0].against.value == 1
    assert found[1].inputs == "float32[1, 1, 28, 28]"
    assert found[2].against.low is not None
    assert state().grad


def test_a_batch_is_so_many_inferences_and_no_roof_allows_nothing() -> None:
    x = Tensor(np.ones((5, 4), np.float32))
    one = side_by_side([Loaded("a", MLP((4, 3)), (x,))], rounds=2)[0]
    assert one.batch == 5
    assert one.flops == 5 * 27
    assert one.allowed is None
    plain = side_by_side([Loaded("f", lambda: x.sum(), ())], rounds=2)[0]
    assert (plain.batch, plain.inputs, plain.parameters) == (1, "none", 0)


def test_the_allowed_time_is_that_of_each_op_at_its_level() -> None:
    x = Tensor(np.ones(1000, np.float32))  # 12,000 bytes: beyond L1
    y = Tensor(np.ones(10, np.float32))
    one = side_by_side([Loaded("f", lambda: (x + x, y + y), ())], rounds=2, roof=ROOF)[0]
    assert one.allowed == pytest.approx(12_000 / 1e9 + 120 / 2e9)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ProfilingError, match="expected 1 or more of each"):
        side_by_side([])
    with pytest.raises(ProfilingError, match="expected 1 or more of each"):
        side_by_side(three(), rounds=0)
    with pytest.raises(ProfilingError, match="theirs is PyTorch's; use"):
        side_by_side([Loaded("theirs", len, None, is_torch=True)])
    with pytest.raises(ProfilingError, match="no op of TinyTorch runs"):
        side_by_side([Loaded("f", lambda: 3, ())])
    with pytest.raises(ProfilingError, match="has no example_input"):
        side_by_side([Loaded("bare", nn.Linear(3, 2), None)])
