"""analyze, allot, Compressor: curves measured, bytes spread over layers, a budget met or said not to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch import nn
from tinytorch.compression.allot import allot, coded_bits
from tinytorch.compression.analyze import Point, Redundancy, analyze
from tinytorch.compression.compressor import Compressor
from tinytorch.compression.finetune import fine_tune
from tinytorch.compression.loaders import Epochs, material_for
from tinytorch.compression.masks import Masks, prunable
from tinytorch.compression.prune import prune
from tinytorch.compression.steps import Budget, Report, Step, best_of, program_bytes, weights_bytes
from tinytorch.data import DataLoader, load
from tinytorch.errors import CompressionError, QuantizationError
from tinytorch.models import GPT, MLP, build
from tinytorch.quantization.score import Score
from tinytorch.random import Generator


def digits(split: str) -> list:
    return list(DataLoader(load("digits", split), 100))


@pytest.fixture(scope="module")
def trained() -> MLP:
    """An MLP on digits that is right about most of them."""
    model = MLP((64, 96, 10), generator=Generator(1))
    fine_tune(
        model, DataLoader(load("digits", "train"), 32, shuffle=True), Masks(model, {}), epochs=8, lr=3e-3
    )
    return model


# ---------------------------------------------------------------- analyze


def test_curves_are_what_pruning_alone_costs(trained: MLP) -> None:
    before = {name: p.numpy() for name, p in trained.named_parameters()}
    found = analyze(trained, digits("validation"), sparsities=(0.5, 0.9))
    for name, p in trained.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])
    score = Score(trained, digits("validation"))
    assert found.before == score.before
    for layer in found.layers:
        for point in layer.curve:
            twin = prune(trained, {layer.path: point.sparsity}).model
            assert point.cost == pytest.approx(score.cost(twin))
    text = repr(found)
    assert "layers.0" in text
    assert "90%" in text


def test_ranks_are_those_of_the_singular_values() -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(12, 9))
    low = (rng.normal(size=(9, 2)) @ rng.normal(size=(2, 12))).astype(np.float32)
    model[0].weight.assign_(tt.Tensor(low))
    (layer,) = analyze(model, [tt.Tensor(np.ones((2, 12), np.float32))], sparsities=(0.5,)).layers
    values = np.linalg.svd(low.astype(np.float64), compute_uv=False) ** 2
    wanted = [int(np.argmax(np.cumsum(values) / values.sum() >= share) + 1) for share in (0.9, 0.99)]
    assert list(layer.ranks) == wanted
    assert layer.ranks[1] <= 2 < layer.full_rank == 9
    assert layer.bears(math.inf) == 0.5
    assert layer.bears(-math.inf) == 0.0


# ---------------------------------------------------------------- allot


def layer(path: str, weights: int, costs: list[float]) -> Redundancy:
    points = tuple(Point(s, 0.0, c) for s, c in zip((0.5, 0.9, 0.99), costs, strict=True))
    return Redundancy(path, (weights,), weights, 0, 1.0, (), 0.0, 1, (1, 1), points)


@given(st.lists(st.integers(200, 50_000), min_size=1, max_size=4), st.floats(0.03, 0.5), st.integers(0, 99))
def test_all_layers_together_fill_the_bytes(sizes: list[int], share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [layer(str(i), n, sorted(rng.random(3).tolist())) for i, n in enumerate(sizes)]
    most = share * sum(sizes) * 4 / 8
    found = allot(layers, most)
    total = sum(n * coded_bits(1 - found.get(str(i), 0.0), 4.0) / 8 for i, n in enumerate(sizes))
    assert total <= most * 1.001
    assert total >= most - 0.2 * max(sizes) * 4 / 8, "but for one step of the largest layer all is spent"
    assert all(0 < s < 1 for s in found.values())


def test_a_layer_that_minds_is_pruned_less() -> None:
    found = allot([layer("tough", 1000, [0.0, 0.01, 0.02]), layer("frail", 1000, [0.1, 1.0, 5.0])], 300)
    assert found["tough"] > found.get("frail", 0.0) + 0.2


def test_bits_of_a_sparse_weight_are_shannons() -> None:
    d = 0.07
    wanted = -(d * np.log2(d) + (1 - d) * np.log2(1 - d)) + d * 4
    assert coded_bits(d, 4.0) == pytest.approx(wanted)
    assert coded_bits(1.0, 4.0) == 4.0


# ---------------------------------------------------------------- the pipeline


def compressor(model: MLP, **options: object) -> Compressor:
    train = DataLoader(load("digits", "train"), 32, shuffle=True, seed=3, drop_last=True)
    given = {"epochs": 6, "compile": None, "rounds": 1, **options}
    return Compressor(model, train, digits("validation"), **given)  # type: ignore[arg-type]


def test_a_budget_that_can_be_met(trained: MLP, tmp_path) -> None:
    found = compressor(trained, target_ratio=8, max_loss=0.05).run()
    assert found.met
    assert "met" in repr(found)
    step = found.report.result
    assert found.report.ratio >= 8
    path = tmp_path / "small.ttc"
    found.save(path)
    assert path.stat().st_size == step.file
    program = tt.load_program(path)
    x = trained.example_input
    with tt.no_grad():
        np.testing.assert_allclose(program(x).data, found.model(x).data, atol=1e-4)
    score = Score(trained, digits("validation"))
    assert score.cost(found.model) == pytest.approx(step.cost)
    assert [s.name for s in found.report.steps][:3] == ["float32", "pruned 1", "shared 1"]


def test_a_model_in_training_is_left_as_it_was() -> None:
    """Validation data must not move the statistics of batch norms."""
    from tinytorch.nn import BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential

    model = Sequential(
        Conv2d(1, 4, 3, generator=Generator(1)), BatchNorm2d(4), ReLU(), Flatten(), Linear(144, 10)
    )
    model.example_input = Generator(0).rand(1, 1, 8, 8)
    train = DataLoader(load("digits", "train"), 64, shuffle=True)
    before = {name: t.numpy() for name, t in (*model.named_parameters(), *model.named_buffers())}
    found = Compressor(
        model, train, digits("validation"), target_ratio=3, max_loss=1.0, epochs=1, rounds=1, compile=None
    ).run()
    assert model.training
    for name, t in (*model.named_parameters(), *model.named_buffers()):
        np.testing.assert_array_equal(t.data, before[name])
    assert found.report.steps[0].cost == 0


def test_a_model_of_text() -> None:
    model = GPT(context=16, width=32, layers=1, heads=2, generator=Generator(2))
    material = material_for(model, "pydocs")
    train = Epochs(material.train.stream, 6)  # type: ignore[union-attr]
    found = Compressor(
        model,
        train,
        material.splits.validation[:2],
        target_ratio=4,
        max_loss=1.0,
        epochs=1,
        rounds=1,
        compile=None,
    ).run()
    assert found.report.score == "loss"
    assert found.report.ratio > 4
    assert found.model.wte.weight.shape == (256, 32)


def test_the_model_itself_stays(trained: MLP) -> None:
    before = {name: p.numpy() for name, p in trained.named_parameters()}
    compressor(trained, target_ratio=6, max_loss=0.05, epochs=1, teach=False, codes=False).run()
    for name, p in trained.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])


def test_weights_take_few_values_and_pruned_ones_stay_zero(trained: MLP) -> None:
    work = compressor(trained, target_ratio=8, max_loss=0.05, epochs=2, clusters=4, codes=False)
    found = work.run()
    pruned, small = work.models[1], found.model
    for path, one in prunable(small).items():
        assert len(np.unique(one.weight.data)) <= 5
        old = prunable(pruned)[path].weight.data
        np.testing.assert_array_equal(one.weight.data == 0, old == 0)


def test_a_budget_that_cannot_be_met_is_said_and_the_best_kept(trained: MLP) -> None:
    found = compressor(trained, target_ratio=500, max_loss=0.0, epochs=1, rounds=2, codes=False).run()
    assert not found.met
    assert "NOT met, this is the best found" in repr(found)
    assert found.report.kept > 0


def test_a_budget_out_of_reach_ends_near_to_what_can_be_met(trained: MLP) -> None:
    """Bytes for no weight at all: the first round loses nearly everything, later ones go back."""
    report = compressor(trained, target_ratio=5000, max_loss=0.02, rounds=3, codes=False).run().report
    first, result = report.steps[2], report.result
    assert first.name == "shared 1"
    assert first.cost > 0.3
    assert result.cost < 0.1
    assert report.ratio > 5
    assert report.steps[4].file > first.file


def step(file: int, cost: float, resident: int = 0) -> Step:
    return Step("", 0.0, cost, 0.0, file, resident, None)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([step(1000, 0.0), step(50, 0.01), step(40, 0.004), step(45, 0.0)], 2),
        ([step(1000, 0.0), step(50, 0.02), step(90, 0.03), step(20, 0.04)], 1),
        ([step(1000, 0.0), step(500, 0.02), step(400, 0.01)], 2),
        ([step(1000, 0.0)], 0),
        ([step(1000, 0.0), step(500, 0.0, 80), step(505, 0.0, 20), step(511, 0.0, 10)], 2),
    ],
)
def test_which_step_is_kept(steps: list[Step], kept: int) -> None:
    assert best_of(steps, 1000, Budget(20, 0.005)) == kept


def test_met_means_both() -> None:
    steps = (step(1000, 0.0), step(40, 0.004))
    assert Report(steps, "accuracy", 1000, Budget(20, 0.005), 1).met
    assert not Report(steps, "accuracy", 1000, Budget(30, 0.005), 1).met
    assert not Report(steps, "accuracy", 1000, Budget(20, 0.003), 1).met


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target_ratio": 1.0}, "more than 1 times"),
        ({"max_loss": -0.1}, "loss of 0 or more"),
        ({"max_loss": math.nan}, "loss of 0 or more"),
        ({"epochs": 0}, "at least one"),
        ({"rounds": 0}, "at least one"),
        ({"clusters": 0}, "at least one"),
    ],
)
def test_budgets_that_make_no_sense(trained: MLP, options: dict, text: str) -> None:
    with pytest.raises(CompressionError, match=text):
        compressor(trained, **options)


def test_models_that_cannot_be_compressed(trained: MLP) -> None:
    with pytest.raises(CompressionError, match="example_input"):
        compressor(nn.Sequential(nn.Linear(64, 10)))  # type: ignore[arg-type]
    with pytest.raises(QuantizationError, match="no batches"):
        Compressor(trained, digits("train"), [])


# ---------------------------------------------------------------- sizes and data


def test_sizes_are_those_of_files(trained: MLP, tmp_path) -> None:
    x = trained.example_input
    program = tt.compile(trained)
    with tt.no_grad():
        program(x)
    program.save(tmp_path / "p.ttc", compact=True)
    size = (tmp_path / "p.ttc").stat().st_size
    assert size - 8 <= program_bytes(trained, x) <= size + 8, "but for the program's name"
    from safetensors.numpy import save_file

    save_file({name: p.numpy() for name, p in trained.named_parameters()}, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_size == weights_bytes(trained)


def test_material_by_name() -> None:
    images = material_for(build("mlp", sizes=(64, 8, 10)), "digits")
    x, labels = next(iter(images.train))
    assert (x.shape[1:], labels.ndim) == ((1, 8, 8), 1)
    text = material_for(GPT(context=16, width=16, layers=1, heads=2), "pydocs")
    assert isinstance(text.train, Epochs)
    first, second = (next(iter(text.train))[0].data for _ in range(2))
    assert first.shape == (8, 16)
    assert not np.array_equal(first, second), "each epoch goes on in the stream"
    with pytest.raises(QuantizationError, match="takes text"):
        material_for(GPT(context=16, width=16, layers=1, heads=2), "digits")
