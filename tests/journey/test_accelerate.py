"""The stage that compiles: its figures against what they are made of, its page, and cases without a gain."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.journey.html_check import Page
from tests.journey.scales import TEXT, TINY
from tinytorch import models
from tinytorch.acceleration.compiled import compile
from tinytorch.acceleration.runner import Interpreted
from tinytorch.autograd import no_grad
from tinytorch.journey import Journey
from tinytorch.journey.accelerate import Accelerated, AccelerateStage, _race, difference, short
from tinytorch.journey.prediction import predict
from tinytorch.journey.profile import ProfileStage
from tinytorch.journey.report import figures
from tinytorch.journey.step import Step
from tinytorch.models import MLP
from tinytorch.profiling.environment import describe
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER, SAME, SLOWER, Verdict
from tinytorch.random import Generator
from tinytorch.tensor import Tensor
from tinytorch.training.recipes import recipe_for

pytest.importorskip("llvmlite")
CONFIG = {"mlp": {"sizes": (784, 32, 10)}, "gpt": TEXT["config"]}
DATA = {"mlp": "fashion", "gpt": "pydocs"}
TINIEST = replace(TINY, latency_runs=3, observed_runs=2)


def journey_with(**those: Any) -> Journey:
    """A journey whose models are as if trained, and profiled."""
    found = Journey(tuple(those), TINIEST)
    found.models.update(those)
    found.results["train"] = {
        n: SimpleNamespace(recipe=replace(recipe_for(n, DATA[n]), batch=3)) for n in those
    }
    found.results["profile"] = {name: ProfileStage().run(found, name) for name in those}
    return found


def new_model(name: str) -> Any:
    return models.build(name, **CONFIG[name], generator=Generator(1))


@pytest.fixture(scope="module")
def journey() -> Journey:
    found = journey_with(**{name: new_model(name) for name in CONFIG})
    found.results["accelerate"] = {name: AccelerateStage().run(found, name) for name in CONFIG}
    return found


@pytest.fixture(params=["mlp", "gpt"])
def result(request: pytest.FixtureRequest, journey: Journey) -> Accelerated:
    found: Accelerated = journey.results["accelerate"][request.param]
    return found


# ---------------------------------------------------------------- figures


def test_results_agree_and_the_race_is_consistent(result: Accelerated) -> None:
    for found, most in ((result.forward, 1e-5), (result.step, 1e-4)):
        assert 0 <= found.deviation < most
        assert found.reasons == ()
        race = found.race
        assert race.rounds == TINIEST.race_rounds
        # the ratio is of pairs of runs, and not of medians: they differ where the machine is busy
        assert 0.05 < race.gain.value / (race.eager.value / race.compiled.value) < 20
        assert race.word in (FASTER, SLOWER, SAME)
        assert race.verdict.startswith(race.word)
        assert found.ready_seconds > 0


def test_the_profile_after_does_the_same_products(journey: Journey, result: Accelerated) -> None:
    name = next(n for n, r in journey.results["accelerate"].items() if r is result)
    before = journey.results["profile"][name]
    for was, found in ((before.forward, result.forward), (before.step, result.step)):
        assert found.profile is not None
        assert (found.profile.name, found.profile.mode) == (was.name, was.mode)
        assert found.profile.matmul_flops == was.matmul_flops > 0
        products = {row.path: row.matmul_flops for row in was.modules if row.matmul_flops}
        assert {row.path: row.matmul_flops for row in found.profile.modules if row.matmul_flops} == products
        assert found.ops == sum(row.calls for row in was.ops)
        assert found.profile.timeline == ()


def test_kernels_are_those_of_the_program(journey: Journey) -> None:
    found = {name: r.forward.kernels for name, r in journey.results["accelerate"].items()}
    assert [(k.module, k.ops, k.calls, k.backward) for k in found["mlp"]] == [
        ("layers.0", ("matmul", "add", "relu"), 1, False),
        ("layers.2", ("matmul", "add"), 1, False),
    ]
    by_module = {kernel.module: kernel for kernel in found["gpt"]}
    blocks = CONFIG["gpt"]["layers"]
    assert by_module["blocks.*.mlp.fc1"].ops == ("matmul", "add", "gelutanh")
    assert by_module["blocks.*.attn"].calls == blocks
    assert sum(k.calls for k in found["gpt"]) == 9 * blocks + 4
    for r in journey.results["accelerate"].values():
        assert any(kernel.backward for kernel in r.step.kernels)
        profile = r.forward.profile
        assert sum(row.calls for row in profile.ops) == sum(kernel.calls for kernel in r.forward.kernels)


def test_memory_is_that_of_the_plan(journey: Journey) -> None:
    for name, r in journey.results["accelerate"].items():
        for was, found in ((journey.results["profile"][name].forward, r.forward),):
            assert found.memory.eager == was.memory.peak - was.memory.baseline
        assert 0 < r.step.memory.arena < r.step.memory.apart
    memory = journey.results["accelerate"]["gpt"].forward.memory
    assert memory.arena < memory.apart / 2
    model, x = journey.models["gpt"], journey.models["gpt"].example_input
    fast = compile(model)
    with no_grad():
        fast(x)
    layout = fast._last.runner.layout
    assert (memory.apart, memory.arena) == (layout.unshared_bytes, layout.arena_bytes)


def test_clipping_makes_two_programs(journey: Journey) -> None:
    assert {n: r.programs_in_step for n, r in journey.results["accelerate"].items()} == {"mlp": 1, "gpt": 2}
    ops = [op for kernel in journey.results["accelerate"]["gpt"].step.kernels for op in kernel.ops]
    assert "adamupdate" in ops
    assert "globalnorm" not in ops


@pytest.mark.parametrize("clip", [None, 0.01])
def test_a_compiled_step_changes_the_weights_as_the_step_does(clip: float | None) -> None:
    model = new_model("mlp")
    recipe = replace(recipe_for("mlp", "fashion"), batch=5, clip=clip)
    eager, other = Step.of(model, "mlp", recipe), Step.of(model, "mlp", recipe)
    run, programs = other.compiled()
    for _ in range(6):
        eager.run()
        run()
    assert all(program._last is not None for program in programs)
    first = dict(model.named_parameters())
    for (name, a), b in zip(eager.model.named_parameters(), other.model.parameters(), strict=True):
        assert np.abs(a.data - first[name].data).max() > 1e-4
        np.testing.assert_allclose(b.data, a.data, rtol=1e-4, atol=1e-6)


def test_the_trained_weights_stay_as_they_are(journey: Journey) -> None:
    for name in CONFIG:
        for a, b in zip(journey.models[name].parameters(), new_model(name).parameters(), strict=True):
            np.testing.assert_array_equal(a.data, b.data)


def test_difference_is_relative_to_the_largest() -> None:
    assert difference(Tensor([10.0, 1.0]), Tensor([10.0, 2.0])) == pytest.approx(0.1)


# ---------------------------------------------------------------- the prediction


def profile_of(*rows: tuple[float, float, int]) -> Any:
    """Self seconds, kernel seconds and FLOPs of products of modules."""
    made = [
        SimpleNamespace(self_seconds=Estimate(s, s, s), kernel_seconds=k, matmul_flops=f) for s, k, f in rows
    ]
    return SimpleNamespace(modules=made)


BEFORE = profile_of(
    (5.0, 4.0, 100), (3.0, 1.0, 0), (2.0, 1.0, 50)
)  # 10 s, of which 5 in kernels that multiply


@pytest.mark.parametrize(
    ("gain", "word", "said"),
    [
        (Estimate(2.0, 1.9, 2.1), FASTER, "Realised: 2.00x [1.90, 2.10], as predicted."),
        (Estimate(4.0, 3.8, 4.2), FASTER, "Realised: 4.00x [3.80, 4.20], 2.00 times what was predicted."),
        (Estimate(0.5, 0.4, 0.6), SLOWER, "Realised: 0.50x [0.40, 0.60], 0.250 times what was predicted."),
        (
            Estimate(1.0, 0.9, 1.1),
            SAME,
            "Realised: no difference is shown, 0.500 times what was predicted.",
        ),
    ],
)
def test_amdahls_prediction_by_hand(gain: Estimate, word: str, said: str) -> None:
    after = profile_of((2.0, 1.5, 100), (0.5, 0.25, 0), (1.0, 1.0, 50))  # 3.5 s, of which 2.5
    found = predict(BEFORE, after, gain, word)
    assert (found.share, found.predicted) == pytest.approx((0.5, 2.0))
    assert found.products == pytest.approx(0.5)
    assert found.rest == pytest.approx(1 / 3.5)
    assert "50.0 % of the eager pass" in found.text
    assert "predicts 2.00x" in found.text
    assert said in found.text
    assert "0.500 times as long" in found.text
    assert "28.6 % of the compiled pass" in found.text


def test_without_a_program_to_look_into() -> None:
    found = predict(BEFORE, None, Estimate(1.0, 0.9, 1.1), SAME)
    assert (found.products, found.rest, found.predicted) == (None, None, 2.0)
    assert found.text.endswith("what was predicted.")


def test_the_stage_predicts_from_the_profile(journey: Journey, result: Accelerated) -> None:
    name = next(n for n, r in journey.results["accelerate"].items() if r is result)
    for part in ("forward", "step"):
        rows = getattr(journey.results["profile"][name], part).modules
        inside = math.fsum(row.kernel_seconds for row in rows if row.matmul_flops)
        whole = math.fsum(row.self_seconds.value for row in rows)
        found = getattr(result, part)
        assert found.prediction.predicted == pytest.approx(whole / inside)
        assert found.prediction.realised == found.race.gain


# ---------------------------------------------------------------- page, figures, table


def section(journey: Journey, **those: Accelerated) -> Page:
    results = those or journey.results["accelerate"]
    return Page(str(AccelerateStage().section(journey, results)))


def test_the_page_shows_what_was_found(journey: Journey) -> None:
    found = section(journey)
    assert found.problems == []
    for result in journey.results["accelerate"].values():
        for part in (result.forward, result.step):
            assert part.race.verdict in found.words
            assert part.prediction.text in found.words
    assert "matmul, add, gelutanh" in found.words
    assert "layers.2, backward" in found.words
    assert "Training step, batch of 3, 2 programs" in found.words


def slowed(result: Accelerated) -> Accelerated:
    """The same result, had compiling made the pass slower."""
    verdict = Verdict("compiled", "eager", Estimate(0.5, 0.45, 0.55), 0.0, 0.05)
    race = replace(result.forward.race, gain=verdict.ratio, word=verdict.word, verdict=str(verdict))
    return replace(result, forward=replace(result.forward, race=race))


def test_what_is_slower_is_said_as_plainly(journey: Journey) -> None:
    found = slowed(journey.results["accelerate"]["mlp"])
    assert "slower by 2.00x [1.82, 2.22]" in section(journey, mlp=found).words
    assert AccelerateStage().figures(found)["compiled pass"] == "2.0x slower"


def test_the_table_at_the_end() -> None:
    one = Estimate(1.0, 1.0, 1.0)
    race = SimpleNamespace(gain=Estimate(3.14, 3.0, 3.3), word=FASTER)
    assert short(race) == "3.1x faster"  # type: ignore[arg-type]
    assert short(SimpleNamespace(gain=one, word=SAME)) == SAME  # type: ignore[arg-type]


def test_figures_are_json(journey: Journey) -> None:
    found = json.loads(json.dumps(figures(replace_train(journey), describe(), 1.0), allow_nan=False))
    mlp = found["stages"]["accelerate"]["mlp"]
    assert mlp["forward"]["kernels"][0]["ops"] == ["matmul", "add", "relu"]
    assert mlp["forward"]["race"]["gain"]["value"] > 0
    assert mlp["step"]["prediction"]["text"].startswith(f"{100 * mlp['step']['prediction']['share']:.1f} %")


def replace_train(journey: Journey) -> Journey:
    """The journey without the stand-ins for training, which are no results."""
    return replace(journey, results={name: journey.results[name] for name in ("profile", "accelerate")})


# ---------------------------------------------------------------- where nothing is gained


class Undecided(MLP):
    """A model that looks at what it computed."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out if float(out.sum().item()) < 1e9 else -out


def test_a_model_that_cannot_be_compiled_runs_eagerly_and_the_page_says_why() -> None:
    model = Undecided(CONFIG["mlp"]["sizes"], generator=Generator(1))
    made = journey_with(mlp=model)
    result = AccelerateStage().run(made, "mlp")
    forward = result.forward
    assert len(forward.reasons) == 1
    assert "item" in forward.reasons[0]
    assert (forward.kernels, forward.memory, forward.profile) == ((), None, None)
    assert forward.deviation == 0
    found = section(made, mlp=result)
    assert found.problems == []
    assert f"Runs eagerly: {forward.reasons[0]}." in found.words
    assert result.step.profile is not None  # the step is by a model of the package


def test_without_llvm_programs_run_on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinytorch.acceleration.compiled.make_runner", Interpreted)
    made = journey_with(mlp=new_model("mlp"))
    result = AccelerateStage().run(made, "mlp")
    for part in (result.forward, result.step):
        assert part.deviation < 1e-5
        assert (part.kernels, part.memory, part.profile, part.reasons) == ((), None, None, ())
    assert section(made, mlp=result).problems == []


def test_results_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Interpreted):
        """A backend that gives half as much again."""

        def run(self, inputs: Any, now: int) -> list[Any]:
            return [array * 1.5 for array in super().run(inputs, now)]

    monkeypatch.setattr("tinytorch.acceleration.compiled.make_runner", Wrong)
    made = journey_with(mlp=new_model("mlp"))
    result = AccelerateStage().run(made, "mlp")
    assert result.forward.deviation == pytest.approx(0.5, rel=1e-3)
    assert "5.0e-01" in section(made, mlp=result).words


def test_steps_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Step, "compiled", lambda self: (lambda: None, ())
    )  # it leaves the weights as they are
    made = journey_with(gpt=new_model("gpt"))
    assert AccelerateStage().run(made, "gpt").step.deviation > 1e-3


def test_the_gain_is_eager_time_over_compiled_time() -> None:
    done = _race(SimpleNamespace(eager=lambda: time.sleep(2e-3), compiled=lambda: None), 30, 0)  # type: ignore[arg-type]
    assert done.word == FASTER
    assert done.gain.value > 10
    assert done.eager.value >= 2e-3 > done.compiled.value
