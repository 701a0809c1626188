"""From watched ops to a verdict: whose time it was, a profile, Amdahl's law, and attention's share."""

import math

import numpy as np
import pytest
from helpers import one_pass, quick_collector, record

from tinytorch.errors import ProfilingError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.profiling import ProfilerContext
from tinytorch.profiling.advice.crossover import shares_of
from tinytorch.profiling.statistics import Estimate, amdahl
from tinytorch.profiling.trace import Key
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- whose time it was


def ns(times):
    """Times in whole nanoseconds."""
    return {key: round(seconds * 1e9, 3) for key, seconds in times.items()}


@exercise("Pass.self_times")
def test_python_before_an_op_goes_with_the_op():
    one = one_pass(
        1000,
        2000,
        record("a", "matmul", seen=1300, done=1310, kernel=(1100, 1290)),
        record("b", "relu", seen=1710, done=1750, kernel=(1600, 1700)),
    )
    whole = {Key("a", "matmul", False): 300.0, Key("b", "relu", False): 400.0, Key("", "", False): 250.0}
    expect.equal("ns(one.self_times()[0])", whole, ns=ns)
    kernels = {Key("a", "matmul", False): 190.0, Key("b", "relu", False): 100.0}
    expect.equal("ns(one.self_times()[1])", kernels, ns=ns)


@exercise("Pass.self_times")
def test_ops_of_the_same_key_add_up():
    one = one_pass(
        0,
        900,
        record("a", "add", seen=100, done=120, kernel=(50, 90)),
        record("a", "add", seen=220, done=230, kernel=(150, 215)),
        record("a", "add", seen=330, done=350, kernel=(300, 320), backward=True),
        record("b", "add", seen=450, done=460, kernel=(410, 445)),
    )
    whole, kernels = expect.value("one.self_times()")
    wanted = {("a", False): 200.0, ("a", True): 100.0, ("b", False): 100.0}
    expected = {Key(path, "add", backward): t for (path, backward), t in wanted.items()}
    expect.equal("ns(whole)", expected | {Key("", "", False): 440.0}, ns=ns, whole=whole)
    inside = {("a", False): 105.0, ("a", True): 20.0, ("b", False): 35.0}
    expected = {Key(path, "add", backward): t for (path, backward), t in inside.items()}
    expect.equal("ns(kernels)", expected, ns=ns, kernels=kernels)


@exercise("Pass.self_times")
def test_times_add_up_to_the_pass(rng):
    moments = sorted(rng.choice(10**6, size=22, replace=False).tolist())
    start, *between, end = moments
    records = [
        record(
            f"m{i % 2}",
            "op",
            seen=between[4 * i + 2],
            done=between[4 * i + 3],
            kernel=between[4 * i : 4 * i + 2],
        )
        for i in range(5)
    ]
    one = one_pass(start, end, *records)
    expect.close("sum(one.self_times()[0].values())", one.seconds, 1e-9, 0)


@exercise("Pass.self_times")
def test_a_pass_without_ops_is_all_the_roots():
    expect.equal("ns(one_pass(5, 105).self_times()[0])", {Key("", "", False): 100.0}, ns=ns)
    expect.equal("dict(one_pass(5, 105).self_times()[1])", {})


# ---------------------------------------------------------------- a profile


def quiet(name="", runs=2):
    return ProfilerContext(name, runs=runs, warmup=0, memory=False, roof=False, report=False)


@exercise("ProfilerContext.profile_function")
def test_result_comes_back_and_the_profile_is_kept():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    with quiet() as profiler:
        expect.close(
            "profiler.profile_function(lambda a, b: a @ b, args=(x, x))",
            np.array([[7.0, 10.0], [15.0, 22.0]]),
        )
    expect.equal("len(profiler.profiles), profiler.profile.flops", (1, 2 * 8))


@exercise("ProfilerContext.profile_function")
def test_arguments_by_name_and_settings_are_passed_on():
    made = []

    def work(a, times=1):
        made.append((a, times))
        return a * times

    with quiet(runs=1) as profiler:
        expect.equal("profiler.profile_function(work, (3,), {'times': 5})", 15, work=work)
    expect.equal("made", [(3, 5)])  # runs=1 runs it once


@exercise("ProfilerContext.profile_function")
def test_profiles_stand_in_order_under_their_names():
    def first():
        return 1

    def second():
        return 2

    with quiet(runs=1) as profiler:
        expect.value("[profiler.profile_function(f) for f in (first, second)]", first=first, second=second)
    expect.equal("[p.name for p in profiler.profiles]", ["first", "second"])
    with quiet("mine", runs=1) as profiler:
        expect.value("profiler.profile_function(first)", first=first)
    expect.equal("profiler.profile.name", "mine")


@exercise("ProfilerContext.profile_function")
def test_an_error_leaves_no_profile():
    def broken():
        raise OSError("no such luck")

    with quiet(runs=1) as profiler:
        expect.raises("profiler.profile_function(broken)", OSError, "no such luck", broken=broken)
        expect.equal("profiler.profiles", [])
    expect.raises("profiler.profile_function(3)", ProfilingError, "cannot be called")


# ---------------------------------------------------------------- Amdahl's law


def law(share, factor):
    """The whole takes what is left of the part, and the rest."""
    return 1 / (share / factor + (1 - share))


def three(estimate):
    return [estimate.value, estimate.low, estimate.high]


@exercise("amdahl")
@pytest.mark.parametrize("factor", [2.0, 10.0, 1.0, 1.5])
def test_the_whole_gains_less_than_the_part(factor):
    share = Estimate(0.5, 0.4, 0.8)
    wanted = [law(0.5, factor), law(0.4, factor), law(0.8, factor)]
    expect.close("three(amdahl(share, factor))", wanted, 1e-12, 0, three=three)


@exercise("amdahl")
def test_a_slower_part_turns_the_interval_round():
    share = Estimate(0.5, 0.4, 0.8)
    wanted = [law(0.5, 0.5), law(0.8, 0.5), law(0.4, 0.5)]
    expect.close("three(amdahl(share, 0.5))", wanted, 1e-12, 0, three=three)


@exercise("amdahl")
def test_no_time_at_all_is_the_limit():
    share = Estimate(0.5, 0.2, 0.75)
    expect.close("three(amdahl(share, math.inf))", [2.0, 1.25, 4.0], 1e-12, 0, three=three, math=math)


@exercise("amdahl")
def test_ends_that_are_unknown_stay_unknown():
    share = Estimate(0.5, None, 0.75)
    expect.equal("amdahl(share, 2.0).low", None)
    expect.close("amdahl(share, 2.0).high", law(0.75, 2.0), 1e-12, 0)
    share = Estimate(0.5, 0.25, None)
    expect.equal("amdahl(share, 2.0).high", None)
    expect.equal("amdahl(share, 0.5).low", None)


@exercise("amdahl")
def test_shares_beyond_their_bounds():
    share = Estimate(1.5, -0.5, 1.25)
    expect.close("three(amdahl(share, 4.0))", [4.0, 1.0, 4.0], 1e-12, 0, three=three)


@exercise("amdahl")
def test_everything_gone_is_infinite_and_bounds_nothing():
    share = Estimate(1.0, 0.5, 1.0)
    expect.equal("three(amdahl(share, math.inf))", [math.inf, 2.0, None], three=three, math=math)
    share = Estimate(1.0, 1.0, 1.0)
    expect.equal("amdahl(share, math.inf).low", math.inf, math=math)


@exercise("amdahl")
@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_factor_is_above_zero(factor):
    share = Estimate(0.5, 0.4, 0.6)
    expect.raises("amdahl(share, factor)", ProfilingError)


# ---------------------------------------------------------------- attention's share


def block():
    """A pass of 1,000 ns: 250 ns in the attention op, 450 ns in attention modules, the rest elsewhere."""
    return one_pass(
        0,
        1000,
        record("wte", "lookup", seen=100, done=100, kernel=(10, 90)),
        record("blocks.0.attn.q_proj", "linear", seen=250, done=250, kernel=(110, 240)),
        record("blocks.0.attn", "attention", seen=450, done=450, kernel=(260, 440)),
        record("blocks.0.attn.out_proj", "linear", seen=500, done=500, kernel=(460, 490)),
        record("blocks.0.attn2", "linear", seen=700, done=700, kernel=(510, 690)),
        record("elsewhere", "attention", seen=750, done=750, kernel=(710, 740)),
        record("", "add", seen=900, done=900, kernel=(760, 890)),
    )


@exercise("shares_of")
def test_shares_of_the_op_and_of_the_module():
    one = block()
    expect.close("shares_of(one, ['blocks.0.attn'])", [0.25, 0.4], 1e-9, 0)
    expect.close("shares_of(one, ['blocks.0.attn', 'blocks.0.attn2'])", [0.25, 0.6], 1e-9, 0)
    expect.close("shares_of(one, [])", [0.25, 0.0], 1e-9, 0)


@exercise("shares_of")
def test_the_time_of_the_watcher_is_nobodys():
    one = one_pass(
        0,
        1000,
        record("attn", "attention", seen=300, done=500, kernel=(0, 300)),
        record("mlp", "linear", seen=700, done=700, kernel=(500, 700)),
    )
    expect.close("shares_of(one, ['attn'])", [300 / 800, 300 / 800], 1e-9, 0)


@exercise("shares_of")
def test_without_attention_there_is_no_share():
    one = one_pass(0, 100, record("mlp", "linear", seen=70, done=80, kernel=(10, 60)))
    expect.close("shares_of(one, ['attn'])", [0.0, 0.0], 1e-9, 0)


@exercise("shares_of")
def test_share_of_a_real_model():
    from tinytorch.models import GPT
    from tinytorch.profiling.advice.crossover import attention_share

    model = GPT(vocab_size=16, context=8, width=16, layers=1, heads=2)
    share = expect.value("attention_share(model, seq=8, rounds=3)")
    inside = 0 < share.core.value < share.module.value < 1
    expect.true("inside", "the op takes less than its module, and both a part of the time", inside=inside)
