"""prune, scores, fine_tune: what goes, what stays, and that zeros stay zeros while others train."""

import copy
from itertools import pairwise

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn
from tinytorch.compression import finetune
from tinytorch.compression.finetune import fine_tune
from tinytorch.compression.masks import Masks, prunable
from tinytorch.compression.prune import prune, prune_pattern, sparsity_of, table
from tinytorch.compression.schedule import gradual, iterative, one_shot
from tinytorch.compression.scores import input_norms, scores_of
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.errors import CompressionError
from tinytorch.models import CNN, MLP
from tinytorch.random import Generator
from tinytorch.training import Accuracy

RNG = np.random.default_rng(3)


def small_cnn() -> CNN:
    return CNN(image_size=8, channels=(4, 6), hidden=12, generator=Generator(1))


def images(count: int = 64) -> DataLoader:
    """Images whose class is the brightest of four corners: quick to learn."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, count)
    x = rng.random((count, 1, 8, 8), np.float32) * 0.5
    for image, label in zip(x, labels, strict=True):
        image[0, 4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 0.7
    return DataLoader(TensorDataset(x, labels), 16, shuffle=True, seed=1)


def batches() -> list[tuple[tt.Tensor, ...]]:
    return list(images())


# ---------------------------------------------------------------- scores


def test_input_norms_are_those_of_all_rows() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    rows = [RNG.normal(size=(7, 5)).astype(np.float32) for _ in range(3)]
    found = input_norms(model, [tt.Tensor(r) for r in rows])
    whole = np.concatenate(rows).astype(np.float64)
    np.testing.assert_allclose(found["0"], np.linalg.norm(whole, axis=0), rtol=1e-6)
    hidden = np.maximum(whole @ model[0].weight.data.T.astype(np.float64) + model[0].bias.data, 0)
    np.testing.assert_allclose(found["2"], np.linalg.norm(hidden, axis=0), rtol=1e-5)


def test_wanda_of_a_convolution_goes_by_channel_and_group() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2))
    x = RNG.normal(size=(5, 4, 6, 6)).astype(np.float32)
    found = scores_of(model, "wanda", calibration=[tt.Tensor(x)])["0"]
    norms = np.sqrt((x.astype(np.float64) ** 2).sum((0, 2, 3)))
    w = np.abs(model[0].weight.data)
    for o in range(6):
        for i in range(2):
            np.testing.assert_allclose(found[o, i], w[o, i] * norms[2 * (o // 3) + i], rtol=1e-5)


def test_movement_is_minus_weight_times_gradient_summed_over_batches() -> None:
    model = MLP((6, 4), generator=Generator(2))
    data = [(tt.Tensor(RNG.normal(size=(3, 6)).astype(np.float32)), tt.Tensor([0, 1, 2])) for _ in range(2)]
    found = scores_of(model, "movement", calibration=data, loss=nn.CrossEntropyLoss())["layers.0"]
    w, wanted = model.layers[0].weight.data.astype(np.float64), np.zeros((4, 6))
    for x, y in data:
        logits = x.data.astype(np.float64) @ w.T + model.layers[0].bias.data
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(3), y.data] -= 1
        wanted -= w * (p.T @ x.data / 3)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"score": "size"}, "no score 'size'"),
        ({"score": "wanda"}, "give calibration"),
        (
            {"score": "movement", "calibration": [(tt.Tensor(np.ones((2, 16))), tt.Tensor([0, 1]))]},
            "give loss",
        ),
        ({"layers": ["head"]}, "no layer 'head'"),
        ({"scope": "row"}, "scope='row'"),
    ],
)
def test_what_prune_cannot_do_is_said(arguments: dict, text: str) -> None:
    with pytest.raises(CompressionError, match=text):
        prune(MLP((16, 8, 4)), 0.5, **arguments)


def test_nan_in_calibration_is_refused_by_layer() -> None:
    with pytest.raises(CompressionError, match=r"layer layers\.0"):
        prune(
            MLP((16, 8, 4)), 0.5, score="wanda", calibration=[tt.Tensor(np.full((2, 16), np.nan, np.float32))]
        )


# ---------------------------------------------------------------- prune


@pytest.mark.parametrize("scope", ["global", "layer", "output"])
def test_the_smallest_go_and_the_model_itself_stays(scope: str) -> None:
    model = small_cnn()
    before = {name: p.numpy() for name, p in model.named_parameters()}
    pruned = prune(model, 0.7, scope=scope)
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])
    total = sum(m.weight.size for m in prunable(model).values())
    zeros = sum(row.zeros for row in pruned.rows())
    assert abs(zeros - 0.7 * total) <= (1 if scope == "global" else 60)
    for path, layer in prunable(pruned.model).items():
        w, old = layer.weight.data, before[f"{path}.weight"]
        kept = w != 0
        np.testing.assert_array_equal(w[kept], old[kept])
        np.testing.assert_array_equal(layer.bias.data, before[f"{path}.bias"])
        if scope == "output":
            for new, row in zip(kept.reshape(len(w), -1), np.abs(old).reshape(len(w), -1), strict=True):
                assert int((~new).sum()) == round(0.7 * row.size)
                assert row[new].min() >= row[~new].max()
        elif not kept.all() and kept.any():
            assert np.abs(old[kept]).min() >= np.abs(old[~kept]).max()


def test_layers_may_have_sparsities_of_their_own() -> None:
    pruned = prune(MLP((16, 8, 4)), {"layers.0": 0.75})
    assert {row.path: row.sparsity for row in pruned.rows()} == {"layers.0": 0.75}
    assert (pruned.model.layers[2].weight.data != 0).all()
    with pytest.raises(CompressionError, match="above 0"):
        prune(MLP((16, 8, 4)), {"layers.0": 1.0})


def test_scores_may_be_given() -> None:
    model = nn.Sequential(nn.Linear(4, 1))
    pruned = prune(model, 0.5, score={"0": np.array([[3.0, 1.0, 2.0, 4.0]])})
    np.testing.assert_array_equal(pruned.model[0].weight.data != 0, [[True, False, False, True]])
    with pytest.raises(CompressionError, match="no scores for layer '0'"):
        prune(model, 0.5, score={}, layers=["0"])


def test_patterns() -> None:
    pruned = prune_pattern(MLP((16, 8, 4)), (2, 4))
    assert pruned.masks.sparsity == 0.5
    blocks = prune_pattern(MLP((16, 32, 8)), "blocks", 0.75)
    w = blocks.model.layers[0].weight.data.reshape(4, 8, 16).transpose(0, 2, 1)
    assert ((w != 0).all(2) | (w == 0).all(2)).all()
    with pytest.raises(CompressionError, match="blocks need a sparsity"):
        prune_pattern(MLP((16, 8, 4)), "blocks")
    with pytest.raises(CompressionError, match="no layer"):
        prune_pattern(MLP((15, 9, 3)), (2, 4))


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Sequential(nn.ReLU())])
def test_a_model_without_layers_is_refused(model: nn.Module) -> None:
    with pytest.raises(CompressionError, match="no Linear or Conv2d"):
        prune(model, 0.5)


def test_the_table_counts_weights_and_not_biases() -> None:
    layer = nn.Linear(4, 2)
    layer.weight.assign_(0.0, at=(slice(0, 1),))
    layer.bias.assign_(0.0)
    (row,) = sparsity_of(nn.Sequential(layer))
    assert (row.zeros, row.weights, row.dead_outputs, row.dead_inputs) == (4, 8, 1, 0)
    assert "50.0%" in table([row])


# ---------------------------------------------------------------- training under masks


@pytest.mark.parametrize("compile", [None, tt.compile])
def test_zeros_stay_while_all_else_trains(compile) -> None:
    pruned = prune(small_cnn(), 0.6)
    before = {name: p.numpy() for name, p in pruned.model.named_parameters()}
    history = fine_tune(
        pruned.model, images(), pruned.masks, epochs=4, lr=5e-3, weight_decay=0.01, compile=compile
    )
    assert history.losses[-1] < history.losses[0]
    for name, p in pruned.model.named_parameters():
        if name.endswith("weight"):
            np.testing.assert_array_equal(p.data != 0, before[name] != 0)
        assert not np.array_equal(p.data, before[name]), name


def test_zeros_are_there_after_each_step() -> None:
    """And not only at the end: what others train on meanwhile must be the pruned model."""
    pruned = prune(small_cnn(), 0.6)
    optimizer = tt.optim.AdamW(pruned.model.parameters(), lr=5e-3)
    trainer = finetune.PruningTrainer(pruned.model, optimizer, nn.CrossEntropyLoss(), masks=pruned.masks)
    for batch in images():
        trainer.step([batch])
        assert Masks.of_zeros(pruned.model).sparsity == pytest.approx(pruned.masks.sparsity, abs=0.002)
        for path, layer in prunable(pruned.model).items():
            assert not layer.weight.data[~pruned.masks[path]].any()


@pytest.mark.parametrize("compile", [None, tt.compile])
def test_a_gradual_schedule_ends_at_its_sparsity(compile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EVERY", 2)
    model = small_cnn()
    masks = Masks.full(model)
    fine_tune(
        model,
        images(),
        masks,
        epochs=6,
        lr=5e-3,
        schedule=gradual(12, 0.8),
        validation=batches(),
        metrics=(Accuracy(),),
        keep_best="accuracy",
        compile=compile,
    )
    total = sum(m.weight.size for m in prunable(model).values())
    zeros = sum(int((m.weight.data == 0).sum()) for m in prunable(model).values())
    assert zeros == round(0.8 * total)
    assert masks.sparsity == pytest.approx(0.8, abs=1 / total)


def test_masks_only_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EVERY", 1)
    model = small_cnn()
    masks = Masks.full(model)
    seen = []
    original = masks.replace

    class Watched(Masks):
        def replace(self, given):
            original(given)
            seen.append({p: m.copy() for p, m in self.items()})

    watched = Watched(model, dict(masks))
    watched._held = masks._held
    fine_tune(model, images(), watched, epochs=4, lr=1e-2, schedule=iterative(4, 3, 0.9), scope="layer")
    assert len(seen) == 4
    for earlier, later in pairwise(seen):
        for path, mask in earlier.items():
            assert not (later[path] & ~mask).any()
            assert later[path].sum() < mask.sum()


def test_movement_takes_what_training_moves_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EVERY", 4)
    model = small_cnn()
    masks = Masks.full(model)
    twin = copy.deepcopy(model)
    fine_tune(model, images(), masks, epochs=4, lr=1e-3, schedule=gradual(8, 0.5), score="movement")
    assert masks.sparsity == pytest.approx(0.5, abs=0.01)
    kept, gone = [], []
    for path, layer in prunable(twin).items():
        w = np.abs(layer.weight.data)
        kept.append(w[masks[path]])
        gone.append(w[~masks[path]])
    # by magnitude every weight that goes is smaller than every one that stays
    assert np.concatenate(gone).max() > np.concatenate(kept).min() * 2


def test_best_weights_are_those_at_full_sparsity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "EVERY", 1)
    model = small_cnn()
    masks = Masks.full(model)
    data = images()
    fine_tune(
        model,
        data,
        masks,
        epochs=3,
        lr=1e-4,
        schedule=gradual(8, 0.95),
        validation=batches(),
        keep_best="loss",
    )
    total = sum(m.weight.size for m in prunable(model).values())
    assert sum(int((m.weight.data == 0).sum()) for m in prunable(model).values()) == round(0.95 * total)


def test_a_short_run_gets_all_its_zeros_and_keeps_no_weights_of_before() -> None:
    """Whether the schedule ends within the run, at its last step or beyond it."""
    for end in (1, 7, 12, 500):
        model = small_cnn()
        fine_tune(
            model,
            images(),
            Masks.full(model),
            epochs=3,
            lr=1e-3,
            schedule=gradual(end, 0.9),
            validation=batches(),
            keep_best="loss",
        )
        layers = prunable(model).values()
        zeros = sum(int((m.weight.data == 0).sum()) for m in layers)
        assert zeros == round(0.9 * sum(m.weight.size for m in layers)), end


class Growing(Masks):
    """Masks that refuse to let go of what they have."""

    def replace(self, masks) -> None:
        for path, mask in masks.items():
            assert not (mask & ~self[path]).any(), f"{path}: weights come back"
        super().replace(masks)


def test_what_was_pruned_before_stays_so_under_a_schedule_from_zero() -> None:
    pruned = prune(small_cnn(), 0.6)
    masks = Growing(pruned.model, pruned.masks)
    fine_tune(pruned.model, images(), masks, epochs=3, lr=1e-2, schedule=gradual(8, 0.7))
    assert masks.sparsity == pytest.approx(0.7, abs=0.001)


def test_movement_waits_until_something_has_moved() -> None:
    model = small_cnn()
    masks = Masks.full(model)
    fine_tune(model, images(), masks, epochs=1, lr=1e-3, schedule=one_shot(0.5), score="movement")
    assert masks.sparsity == pytest.approx(0.5, abs=0.001)
    shares = {row.path: row.sparsity for row in sparsity_of(model)}
    assert all(0.05 < share < 0.95 for share in shares.values()), shares


def test_a_layer_that_would_lose_all_is_refused_by_name() -> None:
    with pytest.raises(CompressionError, match="all 16 weights of layer 0"):
        prune(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), {"0": 0.99})
    with pytest.raises(CompressionError, match="of layer conv1"):
        prune(small_cnn(), 0.97, scope="output")


def test_layers_may_be_named_by_an_iterator_but_not_by_nothing() -> None:
    named = prune(MLP((16, 8, 4)), 0.5, scope="layer", layers=(path for path in ["layers.0"]))
    assert [row.path for row in named.rows()] == ["layers.0"]
    assert named.masks.sparsity == 0.5
    for nothing in ({}, {"layers": []}):
        with pytest.raises(CompressionError, match="no layer is named"):
            prune(MLP((16, 8, 4)), 0.5, **nothing) if nothing else prune(MLP((16, 8, 4)), {})


def test_a_weight_that_two_layers_share_has_one_mask() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    pruned = prune(model, 0.5)
    assert list(pruned.masks) == ["0"]
    assert int((pruned.model[2].weight.data == 0).sum()) == 18


@pytest.mark.parametrize(
    ("pattern", "options"), [((0, 0), {}), ((4, 2), {}), ("blocks", {"sparsity": 0.5, "block": (0, 1)})]
)
def test_patterns_that_are_none(pattern, options: dict) -> None:
    with pytest.raises(CompressionError, match=r"expected 0 < n < m|at least 1 x 1"):
        prune_pattern(MLP((16, 8, 4)), pattern, **options)


def test_nan_in_weights_is_refused_by_patterns_too() -> None:
    model = MLP((16, 8, 4))
    model.layers[0].weight.assign_(np.nan, at=(0, 0))
    for pattern, sparsity in (((2, 4), None), ("blocks", 0.5)):
        with pytest.raises(CompressionError, match="NaN"):
            prune_pattern(model, pattern, sparsity)


def test_runs_under_masks_do_not_resume() -> None:
    pruned = prune(small_cnn(), 0.5)
    optimizer = tt.optim.SGD(pruned.model.parameters(), lr=0.1)
    trainer = finetune.PruningTrainer(pruned.model, optimizer, nn.CrossEntropyLoss(), masks=pruned.masks)
    with pytest.raises(CompressionError, match="cannot be resumed"):
        trainer.fit(images(), epochs=1, resume=True)
    with pytest.raises(CompressionError, match="0 epochs"):
        fine_tune(pruned.model, images(), pruned.masks, epochs=0)


def test_masks_of_another_model_are_refused() -> None:
    pruned = prune(small_cnn(), 0.5)
    with pytest.raises(CompressionError, match="another model"):
        fine_tune(small_cnn(), images(), pruned.masks, epochs=1)
    with pytest.raises(CompressionError, match="score='wanda'"):
        fine_tune(pruned.model, images(), pruned.masks, epochs=1, score="wanda")
