"""The model: first values, logits, its loss."""

import math

import numpy as np
import pytest
from helpers import Cache, Times, logits_of, shaken

from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import GPT
from tinytorch.nn.module import Parameter
from tinytorch.random import Generator
from tinytorch.tensor import Tensor
from tinytorch.training.language import next_token_loss

# ---------------------------------------------------------------- first values


def seeded(rng):
    return Generator(int(rng.integers(2**31)))


@exercise("GPT.initialise")
def test_first_values(rng):
    model = GPT(vocab_size=80, context=50, width=48, layers=3, heads=2, generator=seeded(rng))
    generator = seeded(rng)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.assign_(9.0)
    expect.value("model.initialise(generator)", model=model)
    for name, parameter in model.named_parameters():
        if parameter.ndim != 2:
            continue
        values = parameter.numpy().astype(np.float64).ravel()
        std = 0.02 / math.sqrt(6) if name.endswith(("out_proj.weight", "fc2.weight")) else 0.02
        near = abs(values.std() / std - 1) < 6 / math.sqrt(2 * values.size)
        expect.true(
            "near", f"{name} has a standard deviation of {std:.4f}, not {values.std():.4f}", near=near
        )
        centred = abs(values.mean()) < 6 * std / math.sqrt(values.size)
        expect.true("centred", f"{name} has a mean near 0, not {values.mean():.4f}", centred=centred)
        tails = (np.abs(values) > 2 * std).mean()
        normal = 0.01 < tails < 0.1
        expect.true(
            "normal", f"about 4.6 % of {name} lie beyond 2 deviations, not {tails:.1%}", normal=normal
        )


@exercise("GPT.initialise")
def test_biases_are_zero_and_norms_one(rng):
    model = GPT(vocab_size=8, context=4, width=8, layers=2, heads=2)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.assign_(5.0)
    expect.value("model.initialise(None)", model=model)
    biases = [name for name, p in model.named_parameters() if name.endswith("bias") and p.data.any()]
    expect.equal("biases", [])
    norms = [name for name, p in model.named_parameters() if p.ndim == 1 and not name.endswith("bias")]
    odd = [name for name in norms if (dict(model.named_parameters())[name].data != 1).any()]
    expect.equal("odd", [])


@exercise("GPT.initialise")
def test_parameters_are_changed_in_place(rng):
    model = GPT(vocab_size=8, context=4, width=8, layers=1, heads=2)
    before = [id(p) for p in model.parameters()]
    expect.value("model.initialise(None)", model=model)
    expect.equal("[id(p) for p in model.parameters()] == before", True, model=model, before=before)
    expect.true(
        "model.head.weight is model.wte.weight", "the head is still tied to the embedding", model=model
    )


@exercise("GPT.initialise")
def test_equal_seeds_give_equal_values(rng):
    sizes = {"vocab_size": 8, "context": 4, "width": 8, "layers": 1, "heads": 2}
    one, other = (GPT(**sizes) for _ in range(2))
    expect.value("one.initialise(Generator(3)), other.initialise(Generator(3))", one=one, other=other)
    expect.equal("one.blocks[0].mlp.fc1.weight", other.blocks[0].mlp.fc1.weight.numpy(), one=one)
    expect.value("other.initialise(Generator(4))", other=other)
    same = bool((one.wte.weight.data == other.wte.weight.data).all())
    expect.true("not same", "another seed gives other values", same=same)


# ---------------------------------------------------------------- logits


def model_of(rng, context=6, layers=2, **more):
    return shaken(GPT(vocab_size=9, context=context, width=8, layers=layers, heads=2, **more), rng)


def tokens(rng, *shape):
    return rng.integers(0, 9, size=shape)


@exercise("GPT.forward")
@pytest.mark.parametrize(("b", "t", "layers"), [(2, 6, 2), (1, 1, 1), (3, 4, 0), (1, 5, 3)])
def test_logits(rng, b, t, layers):
    model, a = model_of(rng, layers=layers), tokens(rng, b, t)
    ids = Tensor(a)
    expect.close("model(ids)", logits_of(model, a), 1e-5)


@exercise("GPT.forward")
def test_the_head_may_have_weights_of_its_own(rng):
    model, a = model_of(rng), tokens(rng, 2, 5)
    model.head.weight = Parameter(Tensor(rng.normal(size=(9, 8))))
    ids = Tensor(a)
    expect.close("model(ids)", logits_of(model, a), 1e-5)


@exercise("GPT.forward")
def test_dropout_acts_on_the_embeddings(rng):
    model, a = model_of(rng), tokens(rng, 2, 5)
    model.drop = Times(2.0)
    ids = Tensor(a)
    expect.close("model(ids)", logits_of(model, a, factor=2.0), 1e-5)


@exercise("GPT.forward")
def test_a_later_token_changes_no_earlier_logits(rng):
    model, a = model_of(rng), tokens(rng, 1, 6)
    ids = Tensor(a)
    before = expect.value("model(ids)").numpy()
    for place in range(1, 6):
        b = a.copy()
        b[0, place] = (b[0, place] + 1 + rng.integers(8)) % 9
        changed = Tensor(b)
        expect.close(f"model(changed)[:, :{place}]", before[:, :place], 1e-9, 1e-9)
        moved = np.abs(model(changed).numpy()[:, place] - before[:, place]).max() > 1e-9
        expect.true("moved", f"the logits at position {place} depend on its token", moved=moved)


@exercise("GPT.forward")
def test_positions_go_on_after_a_cache(rng):
    model, a = model_of(rng), tokens(rng, 2, 6)
    want, cache = logits_of(model, a), Cache(layers=2)
    first, second, third = (Tensor(a[:, i:j]) for i, j in ((0, 3), (3, 4), (4, 6)))
    expect.close("model(first, cache)", want[:, :3], 1e-5)
    expect.close("model(second, cache)", want[:, 3:4], 1e-5)
    expect.close("model(third, cache=cache)", want[:, 4:], 1e-5)


class Uneven(Cache):
    """Sequences of different lengths: the second has three tokens more than the first."""

    def positions(self, t):
        return Tensor(np.arange(t) + np.array([[0], [3]]))


@exercise("GPT.forward")
def test_positions_are_those_of_each_sequence(rng):
    model, a = model_of(rng), tokens(rng, 2, 3)
    ids, cache = Tensor(a), Uneven(layers=2)
    found = expect.value("model(ids, cache)").numpy()
    want = [logits_of(model, a)[:1]]
    model.wpe.weight.assign_(Tensor(np.roll(model.wpe.weight.numpy(), -3, axis=0)))
    want.append(logits_of(model, a)[1:])
    expect.close("found", np.concatenate(want), 1e-5, found=found)


@exercise("GPT.forward")
def test_ids_must_fit(rng):
    model, cache = model_of(rng), Cache(layers=2)
    flat, long, four, two, three = (
        Tensor(tokens(rng, *shape)) for shape in ((3,), (1, 7), (1, 4), (1, 2), (1, 3))
    )
    expect.raises("model(flat)", ShapeError, "(3,)")
    expect.raises("model(long)", ShapeError, "(1, 7)")
    expect.value("model(four, cache)")
    expect.raises("model(three, cache)", ShapeError, "(1, 3)")
    expect.value("model(two, cache)")


@exercise("GPT.forward")
def test_every_parameter_of_the_model_learns(rng):
    model, ids = model_of(rng), Tensor(tokens(rng, 2, 6))
    g = Tensor(rng.normal(size=(2, 6, 9)))
    expect.value("model(ids).backward(g)")
    expect.equal("[name for name, p in model.named_parameters() if p.grad is None]", [], model=model)


# ---------------------------------------------------------------- the loss


def loss_of(logits, targets):
    """The mean of -log of each target's probability, position by position."""
    found = []
    for at in np.ndindex(targets.shape):
        row = logits[at] - logits[at].max()
        found.append(math.log(np.exp(row).sum()) - row[targets[at]])
    return math.fsum(found) / len(found)


@exercise("next_token_loss")
@pytest.mark.parametrize(("b", "t", "v"), [(2, 3, 5), (1, 1, 4), (3, 4, 2), (1, 6, 1)])
def test_loss_is_a_mean_over_all_positions(rng, b, t, v):
    a, n = rng.normal(size=(b, t, v)) * 3, rng.integers(0, v, size=(b, t))
    logits, targets = Tensor(a), Tensor(n)
    expect.close("next_token_loss(logits, targets)", loss_of(a, n))


@exercise("next_token_loss")
def test_a_model_that_knows_nothing_loses_log_of_the_vocabulary():
    logits, targets = Tensor(np.zeros((2, 3, 256))), Tensor(np.full((2, 3), 7))
    expect.close("next_token_loss(logits, targets)", math.log(256))


@exercise("next_token_loss")
def test_huge_logits_lose_nothing(rng):
    a, n = rng.normal(size=(2, 3, 4)) * 1e3, rng.integers(0, 4, size=(2, 3))
    logits, targets = Tensor(a), Tensor(n)
    expect.close("next_token_loss(logits, targets)", loss_of(a, n))


@exercise("next_token_loss")
def test_gradient_of_the_loss(rng):
    a, n = rng.normal(size=(2, 3, 4)), rng.integers(0, 4, size=(2, 3))
    logits, targets = Tensor(a, requires_grad=True), Tensor(n)
    expect.value("next_token_loss(logits, targets).backward()")
    chances = np.exp(a) / np.exp(a).sum(-1, keepdims=True)
    expect.close("logits.grad", (chances - np.eye(4)[n]) / 6)
