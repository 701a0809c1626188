"""What a pass asks of a machine: counted by hand, recorded on models, read from a profile."""

from __future__ import annotations

import pytest

import tinytorch as tt
from tinytorch import nn
from tinytorch.errors import ProfilingError
from tinytorch.models import GPT, MLP
from tinytorch.profiling.hardware.workload import Demand, from_profile, record, record_call
from tinytorch.profiling.profile import ModuleRow, OpRow, Profile
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.subject import subject_of

EXACT = Estimate(1.0, 1.0, 1.0)


def test_a_linear_layer_by_hand() -> None:
    layer = nn.Linear(5, 7)
    work = record(subject_of(layer, (tt.ones(3, 5),)), "layer")
    # 3 x 7 results of 5 multiply-adds and a bias; x, weight, bias in and the result out, 4 bytes each
    assert work.ops == (Demand("linear", 3 * 7 * (2 * 5 + 1), 4 * (15 + 35 + 7 + 21), 2 * 3 * 7 * 5, 1),)
    assert (work.name, work.batch, work.uncounted) == ("layer", 3, ())
    assert (work.input_bytes, work.output_bytes, work.parameter_bytes) == (60, 84, 4 * (35 + 7))
    assert (work.flops, work.bytes) == (231, 312)


def test_views_are_calls_that_move_nothing() -> None:
    x = tt.ones(4, 6)
    assert record_call(lambda: x.reshape(6, 4)) == (Demand("reshape", 0, 0, 0, 1),)


def test_a_model_is_left_as_it_was_and_records_no_gradients() -> None:
    model = GPT(vocab_size=11, context=8, width=16, layers=2, heads=2)
    before = {name: value.data.copy() for name, value in model.state_dict().items()}
    work = record(subject_of(model))
    assert all((value.data == before[name]).all() for name, value in model.state_dict().items())
    assert sum(op.name == "attention" for op in work.ops) == 2
    assert work.output_bytes == 8 * 11 * 4
    assert work.input_bytes == 8 * 8  # ids are int64
    out = []
    record_call(lambda: out.append(model(model.example_input)))
    assert not out[0].requires_grad


def test_work_grows_with_the_batch() -> None:
    model = MLP((6, 8, 3))
    one, four = (record(subject_of(model, (tt.ones(n, 6),))) for n in (1, 4))
    assert four.flops == 4 * one.flops
    assert one.bytes < four.bytes < 4 * one.bytes  # weights are read once
    assert (one.batch, four.batch) == (1, 4)


def test_a_callable_without_ops_has_nothing_to_count() -> None:
    with pytest.raises(ProfilingError, match="no op of TinyTorch runs"):
        record(subject_of(lambda: 3, (), {}))


def test_an_error_of_the_call_passes_through_and_watching_ends() -> None:
    def fails() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        record(subject_of(fails, ()))
    assert tt.ops.context.state().observers == ()
    assert tt.ops.context.state().grad


# ---------------------------------------------------------------- from a profile


def profile(mode: str = "forward", ops: tuple[OpRow, ...] = ()) -> Profile:
    row = ModuleRow("", "MLP", 0, 3, EXACT, EXACT, 1.0, 0.0, EXACT, 10, 10, 10, parameter_bytes=400)
    return Profile(
        name="mlp",
        kind="TinyTorch model",
        mode=mode,
        date="",
        configuration={"inputs": "float32[32, 784], int64[7]"},
        environment={},
        timing=None,
        overhead=None,
        flops=10,
        matmul_flops=10,
        bytes=10,
        coverage=0.5,
        uncounted=("odd",),
        modules=(row, row),
        ops=ops,
    )


OPS = (
    OpRow("linear", 3.0, EXACT, EXACT, 0.0, 3000, 2700, 600),
    OpRow("odd", 1.0, EXACT, EXACT, 0.0, None, 0, 40),
)


def test_a_profile_holds_its_work() -> None:
    work = from_profile(profile(ops=OPS))
    assert work.ops == (Demand("linear", 3000, 600, 2700, 3.0), Demand("odd", 0, 40, 0, 1.0))
    assert (work.name, work.batch, work.parameter_bytes, work.uncounted) == ("mlp", 32, 800, ("odd",))
    assert (work.input_bytes, work.output_bytes) == (0, 0)


@pytest.mark.parametrize("found", [profile("backward", OPS), profile("callable", OPS), profile("forward")])
def test_profiles_that_are_no_pass_of_a_model(found: Profile) -> None:
    with pytest.raises(ProfilingError, match="Profile it without --backward"):
        from_profile(found)
