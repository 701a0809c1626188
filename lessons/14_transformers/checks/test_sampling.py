"""Choosing the next token, and going on from a prompt."""

import itertools
import math

import numpy as np
import pytest
from helpers import Counting

from tinytorch.errors import DataError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import GPT
from tinytorch.models.gpt import generate, likeliest, sample
from tinytorch.random import Generator, manual_seed
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- the likeliest


@exercise("likeliest")
@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_the_k_largest_stay(rng, k):
    a = rng.permutation(7).astype(np.float32) - 3.5
    logits = Tensor(a)
    expect.equal("likeliest(logits, k)", np.where(a >= np.sort(a)[-k], a, -np.inf).astype(np.float32))
    expect.equal("logits", a)


@exercise("likeliest")
def test_a_few_of_many(rng):
    a = rng.permutation(5000).astype(np.float32)
    logits = Tensor(a)
    expect.equal("likeliest(logits, 7)", np.where(a >= 4993, a, -np.inf).astype(np.float32))


@exercise("likeliest")
@pytest.mark.parametrize("k", [4, 5, 100])
def test_no_fewer_than_there_are(rng, k):
    a = rng.normal(size=4)
    logits = Tensor(a)
    expect.equal("likeliest(logits, k)", a)


@exercise("likeliest")
def test_equal_logits_stay_together():
    logits = Tensor([1.0, 3.0, 2.0, 2.0, -1.0])
    expect.equal("likeliest(logits, 2)", np.array([-np.inf, 3.0, 2.0, 2.0, -np.inf], np.float32))


# ---------------------------------------------------------------- one token


@exercise("sample")
def test_temperature_zero_takes_the_likeliest(rng):
    a = rng.permutation(9).astype(np.float32)
    logits, generator = Tensor(a), Generator(5)
    before = generator.state.numpy()
    expect.equal("sample(logits, 0, generator=generator)", int(a.argmax()), generator=generator)
    expect.equal("sample(logits, 0.0, 3, generator)", int(a.argmax()), generator=generator)
    expect.equal("generator.state", before, generator=generator)


def counts(ids, size):
    return np.bincount(ids, minlength=size)


def as_expected(found, chances):
    """Each count within six deviations of its binomial distribution."""
    draws = found.sum()
    spread = np.sqrt(draws * chances * (1 - chances))
    return bool((np.abs(found - draws * chances) <= 6 * spread + 1e-9).all())


@exercise("sample")
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_tokens_come_as_often_as_softmax_says(rng, temperature):
    a = np.concatenate([[1.0, -0.5], np.zeros(10)])
    logits, generator = Tensor(a), Generator(int(rng.integers(2**31)))
    chances = np.exp(a / temperature) / np.exp(a / temperature).sum()
    found = counts(expect.value("[sample(logits, temperature, None, generator) for _ in range(400)]"), 12)
    fits = as_expected(found, chances)
    expect.true("fits", f"of 400 draws about {np.round(400 * chances)} are each id, not {found}", fits=fits)


@exercise("sample")
def test_only_the_top_k_are_drawn(rng):
    a = np.array([1.0, -0.5, 0.9, 0.0, 0.8])
    logits, generator = Tensor(a), Generator(int(rng.integers(2**31)))
    chances = np.where(a > 0.7, np.exp(a), 0)
    chances /= chances.sum()
    found = counts(expect.value("[sample(logits, 1.0, 3, generator) for _ in range(400)]"), 5)
    fits = as_expected(found, chances)
    expect.true("fits", f"of 400 draws about {np.round(400 * chances)} are each id, not {found}", fits=fits)


@exercise("sample")
def test_temperature_counts_among_the_top_k_too(rng):
    a = np.array([0.2, -0.5, 1.0, 0.0, 0.1])
    logits, generator = Tensor(a), Generator(int(rng.integers(2**31)))
    chances = np.where(a > 0.15, np.exp(a / 0.25), 0)
    chances /= chances.sum()
    found = counts(expect.value("[sample(logits, 0.25, 2, generator) for _ in range(400)]"), 5)
    fits = as_expected(found, chances)
    expect.true("fits", f"of 400 draws about {np.round(400 * chances)} are each id, not {found}", fits=fits)


@exercise("sample")
def test_a_plain_sample_is_at_temperature_one(rng):
    a = np.array([2.0, 0.0])
    logits, generator = Tensor(a), Generator(int(rng.integers(2**31)))
    found = counts(expect.value("[sample(logits, generator=generator) for _ in range(400)]"), 2)
    fits = as_expected(found, np.array([math.e**2, 1]) / (math.e**2 + 1))
    expect.true("fits", f"about 88 % of the draws are id 0, not {found[0] / 4:.0f} %", fits=fits)


@exercise("sample")
def test_equal_states_give_equal_tokens():
    logits = Tensor(np.zeros(50))
    one, other = Generator(11), Generator(11)
    first = expect.value("[sample(logits, 1.0, None, one) for _ in range(12)]")
    expect.equal(
        "[sample(logits, 1.0, None, other) for _ in range(12)]",
        first,
        other=other,
        logits=logits,
        sample=sample,
    )
    expect.true("len(set(first)) > 1", "the generator moves on from draw to draw", first=first)
    manual_seed(11)
    expect.equal("[sample(logits) for _ in range(12)]", first, logits=logits, sample=sample)


@exercise("sample")
def test_a_sample_is_an_int(rng):
    logits = Tensor(rng.normal(size=3))
    expect.true("isinstance(sample(logits), int)", "the id is a Python int", sample=sample)
    expect.true("isinstance(sample(logits, 0), int)", "the id is a Python int", sample=sample)


# ---------------------------------------------------------------- going on from a prompt


@exercise("generate")
def test_each_token_follows_the_ones_before():
    model, prompt = Counting(), [3]
    expect.equal("generate(model, prompt, 6, temperature=0)", [3, 4, 5, 6, 7, 8, 9], model=model)
    expect.equal("prompt", [3])
    windows = [[3], [3, 4], [3, 4, 5], [3, 4, 5, 6], [4, 5, 6, 7], [5, 6, 7, 8]]
    expect.equal("model.seen", windows, model=model)


@exercise("generate")
def test_a_long_prompt_is_cut_to_the_context_for_the_model_alone():
    model, prompt = Counting(context=3), np.array([1, 2, 3, 4, 5])
    expect.equal("generate(model, prompt, 2, 0)", [1, 2, 3, 4, 5, 6, 7], model=model)
    expect.equal("model.seen", [[3, 4, 5], [4, 5, 6]], model=model)
    expect.equal("generate(model, (8,), 0)", [8], model=model)


@exercise("generate")
@pytest.mark.parametrize("training", [True, False])
def test_model_is_in_evaluation_and_unrecorded_meanwhile(training):
    model = Counting()
    model.train(training)
    expect.value("generate(model, [1], 3)", model=model)
    expect.equal("model.modes", [(False, False)] * 3, model=model)
    expect.equal("model.training", training, model=model)


@exercise("generate")
def test_mode_comes_back_after_an_error():
    model = Counting(breaks_at=1)
    expect.raises("generate(model, [1], 3)", OSError, "no such luck", model=model)
    expect.equal("model.training", True, model=model)


@exercise("generate")
def test_sampling_is_as_asked_for(rng):
    model, seed = Counting(), int(rng.integers(2**31))
    same = "generate(model, [1], 12, 3.0, None, Generator(seed))"
    first = expect.value(same, model=model)
    expect.equal(same, first, model=model)
    straight = [i % 10 for i in range(1, 14)]
    expect.equal("generate(model, [1], 12, 3.0, 1, Generator(seed))", straight, model=model)
    wild = expect.value("generate(model, [1], 30, 50.0, generator=Generator(seed))", model=model)
    expect.true(
        "wild != straight",
        "a high temperature makes other tokens likely",
        wild=wild,
        straight=[i % 10 for i in range(1, 32)],
    )


@exercise("generate")
def test_without_a_word_the_temperature_is_one():
    model = Counting()
    manual_seed(4)
    found = expect.value("generate(model, [0], 200)", model=model)
    steps = [(b - a) % 10 == 1 for a, b in itertools.pairwise(found)]
    share = sum(steps) / len(steps)  # e^5 / (e^5 + 9) = 0.943
    expect.true("0.8 < share < 1", "about 94 % of the tokens are the likeliest", share=share)


@exercise("generate")
@pytest.mark.parametrize("bad", ["[], 3", "[1], -1", "[1], 3, -0.5", "[1], 3, 1.0, 0", "[1], 3, 1.0, -2"])
def test_settings_are_checked(bad):
    model = Counting()
    expect.raises(f"generate(model, {bad})", DataError, model=model)
    expect.equal("model.seen", [], model=model)


@exercise("generate")
def test_with_a_real_model():
    model = GPT(vocab_size=10, context=4, width=8, layers=1, heads=2)
    found = expect.value("generate(model, [1, 2], 5)", model=model)
    good = len(found) == 7 and found[:2] == [1, 2] and all(0 <= i < 10 for i in found)
    expect.true("good", "two ids of the prompt and five of the vocabulary come back", good=good)
    expect.raises("generate(model, [10], 1)", ShapeError, model=model)
