"""Training on: masks that hold through the optimizer's steps, and how sparse a model is after each."""

import numpy as np
import pytest
from helpers import lowest, quiet

import tinytorch as tt
from tinytorch import nn
from tinytorch.compression.finetune import fine_tune
from tinytorch.compression.masks import Masks
from tinytorch.compression.prune import prune
from tinytorch.compression.schedule import cubic, gradual
from tinytorch.errors import CompressionError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import MLP
from tinytorch.nn import functional as F  # noqa: N812
from tinytorch.optim import Adam
from tinytorch.tensor import Tensor

F4 = np.float32
PATHS = ("layers.0", "layers.2")

# ---------------------------------------------------------------- Masks.apply


def weight_of(model, path):
    """The weight of a layer of an MLP."""
    return model.layers[int(path.split(".")[1])].weight


def masked(rng, sizes=(6, 8, 3), share=0.6):
    """A model, random masks of its two layers by path, and what holds them."""
    model = MLP(sizes)
    found = {path: rng.random(weight_of(model, path).shape) >= share for path in PATHS}
    return model, found, Masks(model, found)


@exercise("Masks.apply")
def test_zeros_where_a_mask_is_false(rng):
    model, found, masks = masked(rng)
    before = {path: weight_of(model, path).numpy().copy() for path in PATHS}
    expect.value("masks.apply()", masks=masks)
    for path in PATHS:
        got = weight_of(model, path).numpy()
        expect.close("got", np.where(found[path], before[path], 0), 0, 0, dtype=F4, got=got)


@exercise("Masks.apply")
def test_biases_and_other_layers_stay(rng):
    model = MLP((4, 5, 3))
    masks = Masks(model, {"layers.0": np.zeros((5, 4), bool)})
    for p in model.parameters():
        p.assign_(rng.normal(size=p.shape).astype(F4))
    others = [p for p in model.parameters() if p is not model.layers[0].weight]
    before = [p.numpy().copy() for p in others]
    expect.value("masks.apply()", masks=masks)
    weight, got = model.layers[0].weight.numpy(), [p.numpy() for p in others]
    expect.equal("weight", np.zeros((5, 4), F4), weight=weight)
    expect.equal("got", before, got=got)


@exercise("Masks.apply")
def test_what_goes_becomes_zero_whatever_it_was():
    layer = nn.Linear(6, 1, bias=False)
    layer.weight.assign_(np.array([[-1.0, np.inf, np.nan, 2.0, -np.inf, np.nan]], F4))
    masks = Masks(nn.Sequential(layer), {"0": np.array([[False, False, False, True, True, True]])})
    expect.value("masks.apply()", masks=masks)
    got = layer.weight.numpy()
    expect.equal("got", np.array([[0, 0, 0, 2.0, -np.inf, np.nan]], F4), got=got)
    signs = np.signbit(got[0, :3])
    expect.equal("signs", np.array([False] * 3), signs=signs)


@exercise("Masks.apply")
def test_the_weight_stays_the_tensor_that_others_hold(rng):
    model, found, masks = masked(rng)
    held = list(model.parameters())
    expect.value("masks.apply()", masks=masks)
    same = [a is b for a, b in zip(held, model.parameters(), strict=True)]
    expect.equal("same", [True] * 4, same=same)
    trains = [p.requires_grad for p in model.parameters()]
    expect.equal("trains", [True] * 4, trains=trains)
    gone = [
        float(np.abs(held[0].numpy()[~found["layers.0"]]).max()),
        float(held[2].numpy()[~found["layers.2"]].any()),
    ]
    expect.equal("gone", [0.0, 0.0], gone=gone)


@exercise("Masks.apply")
def test_of_other_dtypes(rng):
    layer = nn.Linear(3, 2)
    net = nn.Sequential(layer).to("float64")
    w, mask = rng.normal(size=(2, 3)), np.array([[True, False, True], [False, True, True]])
    layer.weight.assign_(w)
    masks = Masks(net, {"0": mask})
    expect.value("masks.apply()", masks=masks)
    got = layer.weight.numpy()
    expect.close("got", np.where(mask, w, 0), 0, 0, dtype=np.float64, got=got)


@exercise("Masks.apply")
def test_zeros_stay_through_the_steps_of_an_optimizer(rng):
    model, found, masks = masked(rng)
    optimizer = Adam(model.parameters(), lr=0.1)
    x, labels = Tensor(rng.normal(size=(20, 6)).astype(F4)), Tensor(rng.integers(0, 3, 20))
    start = {path: weight_of(model, path).numpy().copy() for path in PATHS}
    for step in range(1, 6):
        model.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
        expect.value("masks.apply()", masks=masks)
        for path in PATHS:
            got = weight_of(model, path).numpy()[~found[path]]
            text = f"after step {step} each weight that is masked is zero"
            expect.true("not got.any()", text, got=got)
    for path in PATHS:
        moved = np.abs(weight_of(model, path).numpy() - start[path])[found[path]]
        expect.true("moved.max() > 0.1", "the others have been trained", moved=moved)


@exercise("Masks.apply")
def test_other_masks_are_followed(rng):
    model, found, masks = masked(rng)
    weight = weight_of(model, PATHS[0])
    expect.value("masks.apply()", masks=masks)
    less = found[PATHS[0]] & (rng.random(weight.shape) > 0.5)
    masks.replace({PATHS[0]: less})
    w = rng.normal(size=weight.shape).astype(F4)
    weight.assign_(w)
    expect.value("masks.apply()", masks=masks)
    got = weight.numpy()
    expect.equal("got", np.where(less, w, F4(0)), got=got)


@exercise("Masks.apply")
def test_as_a_compiled_program_too(rng):
    model, found, masks = masked(rng)
    weight = weight_of(model, PATHS[0])
    apply = tt.compile(masks.apply)
    expect.value("apply()", apply=apply)
    for mask in (~found[PATHS[0]], found[PATHS[0]]):
        masks.replace({PATHS[0]: mask})
        w = rng.normal(size=weight.shape).astype(F4)
        weight.assign_(w)
        expect.value("apply()", apply=apply)
        got = weight.numpy()
        expect.equal("got", np.where(mask, w, F4(0)), got=got)


@exercise("Masks.apply")
def test_fine_tuning_under_masks(rng):
    model, found, masks = masked(rng, share=0.5)
    batches = [
        (Tensor(rng.normal(size=(16, 6)).astype(F4)), Tensor(rng.integers(0, 3, 16))) for _ in range(4)
    ]
    expect.value(
        "fine_tune(model, batches, masks, epochs=3, lr=0.05)", model=model, masks=masks, batches=batches
    )
    for path in PATHS:
        zeros = weight_of(model, path).numpy() == 0
        expect.equal("zeros", ~found[path], zeros=zeros)


@exercise("threshold_of", "mask_of", "global_masks", "Masks.apply")
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_model_pruned_by_your_masks(rng, scope):
    model = MLP((12, 20, 5))
    small = expect.value("prune(model, 0.7, scope=scope).model", model=model)
    weights = [weight_of(model, path).numpy() for path in PATHS]
    every = lowest(np.abs(np.concatenate([w.ravel() for w in weights])), round(340 * 0.7))
    own = [lowest(np.abs(w), round(w.size * 0.7)) for w in weights]
    masks = [every[:240].reshape(20, 12), every[240:].reshape(5, 20)] if scope == "global" else own
    for path, w, mask in zip(PATHS, weights, masks, strict=True):
        got = weight_of(small, path).numpy()
        expect.equal("got", np.where(mask, w, F4(0)), got=got)


# ---------------------------------------------------------------- cubic


def by_hand(step, begin, end, first, last):
    """The sparsity after a step, from what is left of the way."""
    if step <= begin:
        return first
    left = max(end - step, 0) / (end - begin)
    return last - (last - first) * left * left * left


@exercise("cubic")
@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [(0, 100, 0.0, 0.8), (40, 90, 0.3, 0.95), (7, 8, 0.1, 0.7), (3, 50, 0.0, 1.0)],
)
def test_fast_first_and_slower_then(begin, end, first, last):
    for step in sorted({0, begin, (begin + end) // 3 + 1, (begin + end) // 2, end - 1, end}):
        want = by_hand(step, begin, end, first, last)
        expect.close("cubic(step, begin, end, first, last)", want, 1e-9, 1e-12, step=step)


@exercise("cubic")
def test_half_way_most_of_it_is_done():
    expect.close("cubic(50, 0, 100, 0.0, 0.8)", 0.7, 1e-9, 0)
    expect.close("cubic(30, 20, 40, 0.4, 0.8)", 0.75, 1e-9, 0)


@exercise("cubic")
def test_before_it_begins_and_after_its_end():
    expect.close("cubic(0, 10, 20, 0.25, 0.75)", 0.25, 1e-12, 0)
    expect.close("cubic(9, 10, 20, 0.25, 0.75)", 0.25, 1e-12, 0)
    expect.close("cubic(20, 10, 20, 0.25, 0.75)", 0.75, 1e-12, 0)
    expect.close("cubic(10**6, 10, 20, 0.25, 0.75)", 0.75, 1e-12, 0)


@exercise("cubic")
def test_it_never_falls(rng):
    begin, end = sorted(rng.choice(60, 2, replace=False).tolist())
    first, last = sorted(rng.random(2).tolist())
    shares = []
    for step in range(80):
        shares.append(expect.value("cubic(step, begin, end, first, last)"))
    falls = float(np.diff(shares).min())
    expect.true("falls >= -1e-12", "a later step never asks for fewer zeros", falls=falls)


@exercise("cubic")
@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        (-1, 5, 0.0, 0.5),
        (5, 5, 0.0, 0.5),
        (6, 5, 0.0, 0.5),
        (0, 5, -0.1, 0.5),
        (0, 5, 0.6, 0.5),
        (0, 5, 0.0, 1.01),
    ],
)
def test_schedules_that_are_none(begin, end, first, last):
    expect.raises("cubic(3, begin, end, first, last)", CompressionError)


@exercise("cubic")
def test_one_sparsity_from_begin_on():
    expect.close("cubic(3, 0, 5, 0.5, 0.5)", 0.5, 1e-12, 0)
    expect.close("cubic(0, 0, 1, 0.0, 0.0)", 0.0, 0, 0)
    expect.close("cubic(4, 0, 5, 1.0, 1.0)", 1.0, 1e-12, 0)


@exercise("threshold_of", "mask_of", "global_masks", "Masks.apply", "cubic")
def test_a_model_that_grows_sparser_in_training(rng):
    model = MLP((6, 12, 3))
    masks = Masks.full(model)
    batches = [(Tensor(rng.normal(size=(8, 6)).astype(F4)), Tensor(rng.integers(0, 3, 8))) for _ in range(40)]
    call = "fine_tune(model, batches, masks, epochs=3, schedule=gradual(100, 0.8))"
    expect.value(call, model=model, masks=masks, batches=batches)
    zeros = sum(int((weight_of(model, path).numpy() == 0).sum()) for path in PATHS)
    expect.equal("zeros", round(0.8 * 108), zeros=zeros)
    expect.close("masks.sparsity", zeros / 108, 1e-9, 0, masks=masks, zeros=zeros)
