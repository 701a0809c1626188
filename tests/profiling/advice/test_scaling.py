"""Scaling: known exponents are found again, counts grow as formulas say, and sizes are those asked for."""

import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.errors import ProfilingError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.ops.context import state
from tinytorch.profiling.advice.scaling import (
    QUICK_SIZES,
    attention_scaling,
    axes_of,
    count_flops,
    example,
    in_turns,
    measure_scaling,
    model_scaling,
    scaling_of,
    sized,
)
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.profiling.subject import subject_of


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0, 2.7])
def test_the_exponent_of_times_is_found_again(power: float) -> None:
    rng = np.random.default_rng(3)
    sizes = (8, 16, 32, 64, 128)
    times = [1e-5 * s**power * np.exp(0.02 * rng.standard_normal(20)) for s in sizes]
    found = scaling_of("f", "batch", sizes, [3 * s**2 for s in sizes], times)
    exponent = found.time_exponent
    assert exponent.low is not None
    assert exponent.high is not None
    assert exponent.low < power < exponent.high
    assert exponent.high - exponent.low < 0.1
    assert found.flops_exponent.value == pytest.approx(2)
    assert found.at_the_end.value == pytest.approx(power, abs=0.05)


def test_the_interval_covers_the_exponent_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    sizes, hits = (1, 2, 4, 8, 16), 0
    for _ in range(200):
        times = [s**1.3 * np.exp(0.1 * rng.standard_normal(9)) for s in sizes]
        found = scaling_of("f", "batch", sizes, sizes, times).time_exponent
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.3 <= found.high
    assert hits >= 180


def test_what_is_no_power_law_has_a_wide_interval_and_its_own_last_step() -> None:
    """A fixed cost of 1 and then a time in proportion: exponent 0 at first, 1 in the end."""
    sizes = (1, 10, 100, 1000, 10_000)
    times = [[1 + 0.01 * size] * 9 for size in sizes]
    found = scaling_of("f", "batch", sizes, sizes, times)
    low, high = found.time_exponent.low, found.time_exponent.high
    assert low is not None
    assert high is not None
    assert high - low > 0.5
    assert found.at_the_end.value == pytest.approx(np.log10(101 / 11), abs=1e-9)


def test_sizes_come_in_any_order_and_each_once() -> None:
    one = scaling_of("f", "batch", (4, 1, 2), (16, 1, 4), [[4.0] * 3, [1.0] * 3, [2.0] * 3])
    assert one.sizes == (1, 2, 4)
    assert one.flops == (1, 4, 16)
    assert [found.value for found in one.seconds] == [1, 2, 4]
    for sizes in ((), (4,), (4, 4), (1, 2, 2)):
        with pytest.raises(ProfilingError, match="expected two or more, each another"):
            scaling_of("f", "batch", sizes, sizes, [[1.0]] * len(sizes))


def test_flops_by_batch_and_length_and_width_are_those_of_the_counter() -> None:
    model = GPT(vocab_size=32, context=64, width=64, layers=2, heads=2)
    found = {one.axis: one for one in model_scaling(model, quick=True, rounds=2)}
    assert set(found) == {"batch", "width", "length"}
    assert found["batch"].flops_exponent.value == pytest.approx(1, abs=0.01)
    assert found["length"].sizes == QUICK_SIZES["length"]
    counter = FLOPCounter("all")
    for length, flops in zip(found["length"].sizes, found["length"].flops, strict=True):
        longer = GPT(vocab_size=32, context=length, width=64, layers=2, heads=2)
        assert flops == counter.count(longer, input_shape=(1, length))
    for width, flops in zip(found["width"].sizes, found["width"].flops, strict=True):
        wider = GPT(vocab_size=32, context=64, width=width, layers=2, heads=max(1, width // 32))
        assert flops == counter.count(wider, input_shape=(1, 64))
    assert 1 < found["width"].flops_exponent.value < 2
    assert 1 < found["length"].flops_exponent.value < 2
    assert all(one.seconds[-1].value > 0 for one in found.values())


def test_the_attention_op_grows_with_the_square_of_the_length() -> None:
    found = attention_scaling((16, 48, 128), width=16, heads=2, rounds=2)
    assert found.flops_exponent.value == pytest.approx(2, abs=1e-9)
    pairs = [2 * n * n for n in found.sizes]
    assert [f / p for f, p in zip(found.flops, pairs, strict=True)] == [found.flops[0] / pairs[0]] * 3
    assert found.flops[0] > 4 * 16 * 16 * 16  # two products of 2 x 16 x 16 x 16, and softmax


def test_models_of_a_size() -> None:
    wider = sized(MLP((784, 128, 64, 10)), "width", 32).model
    assert isinstance(wider, MLP)
    assert wider.sizes == (784, 32, 32, 10)
    cnn = sized(CNN(), "side", 20)
    assert cnn.args[0].shape == (1, 1, 20, 20)
    assert cnn.call().shape == (1, 10)
    model = GPT(vocab_size=11, context=16, width=64, layers=1, heads=4)
    batch = sized(model, "batch", 3)
    assert batch.model is model
    assert batch.args[0].shape == (3, 16)
    assert not model.training
    gpt = sized(model, "width", 16).model
    assert isinstance(gpt, GPT)
    assert (gpt.width, gpt.heads, gpt.layers, gpt.vocab_size) == (16, 1, 1, 11)
    assert sized(model, "length", 40).args[0].shape == (1, 40)


def test_sizes_that_a_model_does_not_have() -> None:
    assert axes_of(MLP((4, 3))) == ("batch",)
    assert axes_of(MLP((4, 5, 3)).layers) == ("batch",)
    with pytest.raises(ProfilingError, match="CNN has no width of 3; it has batch, side"):
        sized(CNN(), "width", 3)
    with pytest.raises(ProfilingError, match="MLP has no batch of 0"):
        sized(MLP(), "batch", 0)
    with pytest.raises(ProfilingError, match="no length of 5"):
        sized(MLP(), "length", 5)
    with pytest.raises(ProfilingError, match="Sequential has no example_input"):
        example(MLP((4, 3)).layers, 2)


def test_what_cannot_be_counted() -> None:
    with pytest.raises(ProfilingError, match="nothing that counts runs in it"):
        count_flops(subject_of(lambda: 3))
    with pytest.raises(ProfilingError, match="nothing that counts"):
        measure_scaling("f", "batch", (1, 2), lambda size: subject_of(lambda: size), rounds=2)


def test_turns_are_taken_and_nothing_is_recorded() -> None:
    order: list[str] = []
    times = in_turns([lambda: order.append("a"), lambda: order.append("b")], 10, "turns")
    assert [len(found) for found in times] == [10, 10]
    assert order.count("a") == order.count("b") == 20
    pairs = [order[i] for i in range(0, 40, 2)]
    assert pairs == [order[i] for i in range(1, 40, 2)]  # each timed call after another of the same
    assert {"".join(pairs[i : i + 2]) for i in range(0, 20, 2)} == {"ab", "ba"}
    recorded: list[bool] = []

    def make(size: int) -> object:
        def call() -> None:
            recorded.append(state().grad)
            Tensor(np.ones((size, size), np.float32)).sum()

        return subject_of(call)

    measure_scaling("f", "side", (4, 8), make, rounds=2)  # type: ignore[arg-type]
    assert not any(recorded)
    with no_grad():
        pass
    assert state().grad
