"""Learning rates as a function of the step."""

import math

from helpers import sgd

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.optim import CosineWithWarmup, Schedule, StepLR


class Halving(Schedule):
    """Half the rate with every step."""

    def factor(self, step):
        return 0.5**step


# ---------------------------------------------------------------- Schedule.at


@exercise("Schedule.at")
def test_the_rate_of_each_group():
    optimizer = sgd(0.8, 4.0)
    schedule = Halving(optimizer)
    expect.value("schedule.at(3)")
    expect.close("[float(group['lr']) for group in optimizer.param_groups]", [0.1, 0.5])
    expect.equal("schedule.count", 3)


@exercise("Schedule.at")
def test_it_counts_from_the_base_not_from_the_last_rate():
    optimizer = sgd(0.8)
    schedule = Halving(optimizer)
    for step, want in ((2, 0.2), (2, 0.2), (0, 0.8), (1, 0.4)):
        expect.value(f"schedule.at({step})")
        expect.close("float(optimizer.param_groups[0]['lr'])", want)
    expect.close("schedule.base", [0.8])


@exercise("Schedule.at")
def test_the_rate_stays_the_same_tensor():
    optimizer = sgd(0.8)
    rate = optimizer.param_groups[0]["lr"]
    schedule = Halving(optimizer)
    expect.value("schedule.at(1)")
    expect.true("optimizer.param_groups[0]['lr'] is rate", "lr is changed in place, by assign_")
    expect.close("rate", 0.4)


@exercise("Schedule.at")
def test_step_goes_on():
    optimizer = sgd(0.8)
    schedule = Halving(optimizer)
    for want in (0.4, 0.2):
        expect.value("schedule.step()")
        expect.close("float(optimizer.param_groups[0]['lr'])", want)
    expect.equal("schedule.count", 2)


# ---------------------------------------------------------------- StepLR.factor


@exercise("StepLR.factor")
def test_a_stair():
    want = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    expect.close("[StepLR(sgd(), 3, 0.5).factor(step) for step in range(8)]", want)


@exercise("StepLR.factor")
def test_far_along_the_stair():
    schedule = StepLR(sgd(), 7, 0.9)
    expect.close("[schedule.factor(step) for step in (6, 7, 69, 70)]", [1.0, 0.9, 0.9**9, 0.9**10])
    expect.equal("StepLR(sgd(), 5, 1).factor(10)", 1.0)


# ---------------------------------------------------------------- CosineWithWarmup.factor


@exercise("CosineWithWarmup.factor")
def test_warm_up():
    schedule = CosineWithWarmup(sgd(), warmup=4, total=20)
    expect.close("[schedule.factor(step) for step in range(5)]", [0.25, 0.5, 0.75, 1.0, 1.0])


@exercise("CosineWithWarmup.factor")
def test_half_a_cosine():
    schedule = CosineWithWarmup(sgd(), warmup=2, total=10)
    want = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0]
    expect.close("[schedule.factor(step) for step in (2, 4, 6, 8, 10)]", want)


@exercise("CosineWithWarmup.factor")
def test_it_ends_above_zero_and_stays():
    schedule = CosineWithWarmup(sgd(), warmup=0, total=8, min_ratio=0.2)
    expect.close("[schedule.factor(step) for step in (0, 4, 8, 9, 12, 1000)]", [1.0, 0.6, 0.2, 0.2, 0.2, 0.2])


@exercise("CosineWithWarmup.factor")
def test_the_warm_up_does_not_know_the_end():
    schedule = CosineWithWarmup(sgd(), warmup=2, total=8, min_ratio=0.5)
    expect.close("[schedule.factor(step) for step in (0, 1, 5, 8)]", [0.5, 1.0, 0.75, 0.5])


@exercise("CosineWithWarmup.factor")
def test_nothing_but_warm_up():
    schedule = CosineWithWarmup(sgd(), warmup=3, total=3, min_ratio=0.25)
    expect.close("[schedule.factor(step) for step in (0, 2, 3, 4, 5)]", [1 / 3, 1.0, 1.0, 0.25, 0.25])
