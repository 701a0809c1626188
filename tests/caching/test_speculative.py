"""Speculative decoding: greedy text to the token, and drawn text by its distribution, as without a draft."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.caching.small import gpt, llama, logits_of, text
from tinytorch.caching import Decoder, generate
from tinytorch.caching.drafts import ModelDraft, NGramDraft
from tinytorch.caching.sampling import Sampling
from tinytorch.caching.speculative import Speculation, accept
from tinytorch.errors import GenerationError
from tinytorch.ops.spec import Array
from tinytorch.text.ngram import NGram

PARTS = 60


class Numbers:
    """Random numbers that are given: the middles of equal parts of 0 .. 1."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


# ---------------------------------------------------------------- accept


def distribution(q: Array, logits: Array, sampling: Sampling) -> Array:
    """The probability of each first token behind one proposal, summed over all that may be drawn.

    Of a random number each of `PARTS` parts is drawn once, by its middle; a part that a border cuts falls to
    one side as a whole.
    """
    middles = (np.arange(PARTS) + 0.5) / PARTS
    total = np.zeros(len(q))
    for token in range(len(q)):
        if not q[token]:
            continue
        for numbers in itertools.product(middles, middles):
            rng: Any = Numbers(numbers)
            count, following = accept([token], [q], np.stack([logits, logits]), sampling, rng)
            total[token if count else following] += q[token] / PARTS**2
    return total


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([30, 20, 10, 0], [15, 15, 15, 15]),
        ([6, 24, 30, 0], [30, 30, 0, 0]),
        ([60, 0, 0, 0], [0, 20, 20, 20]),
        ([15, 15, 15, 15], [15, 15, 15, 15]),
        ([20, 30, 5, 5], [10, 10, 20, 20]),
    ],
)
def test_the_first_token_has_the_probability_of_the_large_model(p: Any, q: Any) -> None:
    p, q = np.array(p) / PARTS, np.array(q) / PARTS
    with np.errstate(divide="ignore"):
        found = distribution(q, np.log(p), Sampling())
    np.testing.assert_allclose(found, p, atol=1e-9)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, None, None), (0.6, 3, None), (1.3, None, 0.8)]
)
def test_tokens_come_as_often_as_from_the_large_model(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    rng, vocab, ahead, rounds = np.random.default_rng(7), 5, 2, 6000
    logits = rng.standard_normal((ahead + 1, vocab)).astype(np.float32) * 1.5
    drafts = [softly(rng.standard_normal(vocab)) for _ in range(ahead)]
    one = Sampling(temperature, top_k, top_p)
    first, second, third = np.zeros(vocab), np.zeros(vocab), np.zeros(vocab)
    for _ in range(rounds):
        proposed = [int(rng.choice(vocab, p=q)) for q in drafts]
        count, following = accept(proposed, drafts, logits, one, rng)
        tokens = [*proposed[:count], following]
        first[tokens[0]] += 1
        if len(tokens) > 1:
            second[tokens[1]] += 1
        if len(tokens) > 2:
            third[tokens[2]] += 1
    for counts, row in ((first, 0), (second, 1), (third, 2)):
        p = one.probabilities(logits[row])
        assert counts[p == 0].sum() == 0
        expected = counts.sum() * p[p > 0]
        assert expected.min() > 20
        chi = ((counts[p > 0] - expected) ** 2 / expected).sum()
        assert chi < 23.5, (row, chi)  # of at most 4 degrees of freedom, one in ten thousand
    wrong = one.probabilities(logits[1])
    expected = first.sum() * np.maximum(wrong, 1e-3)
    assert ((first - expected) ** 2 / expected).sum() > 100, "the test would see another distribution"


def softly(x: Array) -> Array:
    found: Array = np.exp(x) / np.exp(x).sum()
    return found


def test_a_draft_that_is_the_model_itself_always_stays() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4, 6)).astype(np.float32)
    one = Sampling(0.7, top_p=0.9)
    drafts = [one.probabilities(row) for row in logits[:3]]
    for _ in range(300):
        proposed = [int(rng.choice(6, p=q)) for q in drafts]
        assert accept(proposed, drafts, logits, one, rng)[0] == 3


def test_greedy_keeps_what_is_likeliest_and_draws_nothing() -> None:
    logits = np.eye(4, dtype=np.float32)[[2, 0, 3]]
    nothing: Any = Numbers([])
    for proposed, expected in (([2, 0], (2, 3)), ([2, 1], (1, 0)), ([1, 0], (0, 2)), ([], (0, 2))):
        assert accept(proposed, [], logits, Sampling(0), nothing) == expected


# ---------------------------------------------------------------- whole texts

MODEL = gpt(1, context=48)
DRAFTS = {
    "itself": MODEL,
    "close": None,
    "another": llama(2, context=48, layers=1),
    "short": gpt(3, context=20, layers=1),
    "long": gpt(3, context=70, layers=1),
}


def nearly() -> Any:
    """The model with a little noise: most of its proposals stay, not all."""
    made, rng = gpt(1, context=48), np.random.default_rng(0)
    for parameter in made.parameters():
        noise = rng.standard_normal(parameter.shape).astype(np.float32) * 0.03
        parameter.assign_(parameter.numpy() + noise)
    return made


DRAFTS["close"] = nearly()


def spoken(decoder: Decoder, draft: Decoder, prompt: list[int], count: int, ahead: int) -> tuple[Any, Any]:
    settings = {"temperature": 0, "tokenizer": NoText(), "logprobs": True}
    return (
        generate(decoder, prompt, count, **settings),
        generate(decoder, prompt, count, draft=draft, ahead=ahead, **settings),
    )


class NoText:
    """A tokenizer where only ids matter."""

    def encode(self, data: Any, specials: bool = False) -> Any:
        raise AssertionError("no text is given")

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"x" * len(ids)


@pytest.fixture(scope="module")
def decoders() -> dict[str, Decoder]:
    made = {name: Decoder(model, compiled=False, page=8) for name, model in DRAFTS.items() if model}
    return {**made, "model": Decoder(MODEL, compiled=False, page=8)}


@pytest.mark.parametrize("name", DRAFTS)
@given(length=st.integers(1, 20), count=st.integers(0, 60), ahead=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_greedy_text_is_that_of_the_model_alone(
    decoders: dict[str, Decoder], name: str, length: int, count: int, ahead: int, seed: int
) -> None:
    plain, drafted = spoken(decoders["model"], decoders[name], text(seed, length), count, ahead)
    assert drafted.ids == plain.ids
    assert len(plain.ids) == min(count, 48 - length + 1)
    assert (drafted.text, drafted.finish) == (plain.text, plain.finish)
    np.testing.assert_allclose(drafted.logprobs, plain.logprobs, atol=1e-4)
    if name == "itself" and drafted.accepted is not None:
        assert drafted.accepted in (0.0, 1.0)


def test_compiled() -> None:
    model, draft = Decoder(MODEL, page=8), Decoder(DRAFTS["close"], page=8)
    plain, drafted = spoken(model, draft, text(5, 9), 60, 4)
    assert drafted.ids == plain.ids
    assert len(plain.ids) == 40
    assert 0.3 < drafted.accepted < 1
    assert {t for t, _ in draft._passes} <= {1, 2, 8, 64}


def test_all_tokens_of_the_model_itself_stay_and_each_round_gives_one_more() -> None:
    decoder, draft = (Decoder(MODEL, compiled=False, page=8) for _ in range(2))
    proposing = ModelDraft(draft)
    speculation = Speculation(decoder, proposing, 3)
    prompt, one, rng = text(2, 5), Sampling(0), np.random.default_rng(0)
    token = int(np.argmax(decoder.start([prompt])[0]))
    proposing.start(prompt, token)
    ids, sizes = [*prompt, token], []
    while decoder.room:
        assert decoder.cache.length == len(ids) - 1
        tokens, rows = speculation.round(ids[-1], one, rng)
        assert len(rows) == len(tokens)
        ids += tokens
        sizes.append(len(tokens))
        expected = logits_of(MODEL, ids[:48])
        np.testing.assert_allclose(rows, expected[len(ids) - len(tokens) - 1 : len(ids) - 1], atol=1e-4)
        assert draft.cache.length + len(proposing._waiting) == len(ids)
    assert sizes[:10] == [4] * 10
    assert sum(sizes) + 5 == 48
    assert speculation.rate == 1.0
    assert speculation.proposed == sum(sizes) - len(sizes)


def test_drawn_text_has_the_distribution_of_the_model() -> None:
    model, draft = gpt(4, vocab_size=4, context=8, layers=1), gpt(5, vocab_size=4, context=8, layers=1)
    decoder, small = (Decoder(m, compiled=False, page=8) for m in (model, draft))
    one, counts, joint = Sampling(3.0), np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
    for seed in range(350):
        found = generate(decoder, [1, 3], 3, 3.0, seed=seed, tokenizer=NoText(), draft=small, ahead=2)
        counts[tuple(found.ids)] += 1

    def follows(*ids: int) -> Array:
        return one.probabilities(logits_of(model, [1, 3, *ids])[-1])

    for i, j in np.ndindex(4, 4):
        joint[i, j] = follows()[i] * follows(i)[j] * follows(i, j)
    enough = joint * counts.sum() > 4
    expected = np.append(joint[enough], joint[~enough].sum()) * counts.sum()
    chi = ((np.append(counts[enough], counts[~enough].sum()) - expected) ** 2 / expected).sum()
    assert 15 <= enough.sum() <= 40
    assert chi < 76, chi  # of at most 40 degrees of freedom, less than one in a thousand


def test_a_window_of_the_large_model_slides_beneath_a_draft() -> None:
    model = gpt(1, context=90)
    decoder = Decoder(model, 40, window=12, sinks=2, page=4, compiled=False)
    plain, drafted = spoken(decoder, Decoder(nearly_of(model), compiled=False, page=8), text(0, 30), 60, 3)
    assert drafted.ids == plain.ids
    assert len(plain.ids) == 60


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
@pytest.mark.parametrize(
    ("capacity", "window", "sinks", "page", "ahead"),
    [(16, 16, 0, 8, 4), (20, 16, 0, 4, 4), (12, 8, 0, 4, 20), (16, 16, 0, 1, 4), (24, 9, 5, 4, 12)],
)
def test_a_window_that_leaves_little_room_has_fewer_tokens_proposed(
    capacity: int, window: int, sinks: int, page: int, ahead: int, compiled: bool
) -> None:
    model = gpt(6, vocab_size=256, context=90)
    decoder = Decoder(model, capacity, window=window, sinks=sinks, page=page, compiled=compiled)
    plain = generate(decoder, b"ab", 80, temperature=0)
    drafts: list[Any] = [NGram(b"abc", 2), NGram(b"ab" + bytes(plain.ids), 4), Decoder(model, compiled=False)]
    for draft in drafts:
        drafted = generate(decoder, b"ab", 80, temperature=0, draft=draft, ahead=ahead)
        assert drafted.ids == plain.ids
        assert len(plain.ids) == 80


def nearly_of(model: Any) -> Any:
    made = gpt(1, context=90)
    made.wte.weight.assign_(model.wte.weight.numpy() * np.float32(1.02))
    return made


def test_a_draft_with_a_window_is_refused() -> None:
    draft = Decoder(MODEL, 40, window=12, page=4, compiled=False)
    with pytest.raises(GenerationError, match="a draft has no window"):
        ModelDraft(draft)


def test_other_vocabularies_batches_and_nothing_ahead_are_refused() -> None:
    decoder = Decoder(MODEL, compiled=False, page=8)
    with pytest.raises(GenerationError, match="vocabularies of 40 and 41 ids"):
        Speculation(decoder, ModelDraft(Decoder(gpt(vocab_size=41), compiled=False)))
    with pytest.raises(GenerationError, match="vocabularies of 40 and 256 ids"):
        generate(decoder, [1, 2], 3, tokenizer=NoText(), draft=NGram(b"abc", 2))
    with pytest.raises(GenerationError, match="a draft of 2 sequences"):
        ModelDraft(Decoder(MODEL, batch=2))
    with pytest.raises(GenerationError, match="one sequence at a time"):
        Speculation(Decoder(MODEL, batch=2), ModelDraft(decoder))
    with pytest.raises(GenerationError, match="at least one token ahead"):
        Speculation(decoder, ModelDraft(decoder), 0)


# ---------------------------------------------------------------- an n-gram as draft


@given(
    prompt=st.binary(min_size=1, max_size=20),
    seen=st.binary(max_size=200),
    order=st.integers(1, 4),
    ahead=st.integers(1, 5),
)
@settings(max_examples=8)
def test_an_n_gram_changes_no_greedy_text(prompt: bytes, seen: bytes, order: int, ahead: int) -> None:
    decoder = of_bytes()
    plain = generate(decoder, prompt, 60, temperature=0)
    for text_seen in (seen, prompt + bytes(plain.ids)):
        drafted = generate(decoder, prompt, 60, temperature=0, draft=NGram(text_seen, order), ahead=ahead)
        assert drafted.ids == plain.ids


@functools.cache
def of_bytes() -> Decoder:
    return Decoder(gpt(6, vocab_size=256, context=48), compiled=False, page=8)


def test_an_n_gram_of_the_text_itself_is_nearly_always_right() -> None:
    decoder = of_bytes()
    plain = generate(decoder, b"once", 40, temperature=0)
    whole = b"once" + bytes(plain.ids)
    found = generate(decoder, b"once", 40, temperature=0, draft=NGram(whole, 8), ahead=3)
    assert len({whole[i : i + 7] for i in range(len(whole) - 7)}) == len(whole) - 7, "each follows one thing"
    assert found.accepted == 1.0
    assert found.ids == plain.ids


def test_an_n_gram_beside_compiled_passes_stops_and_probabilities() -> None:
    decoder = Decoder(of_bytes().model, page=8)
    plain = generate(decoder, b"once", 40, temperature=0, logprobs=True)
    draft = NGram(b"once" + bytes(plain.ids[:20]), 3)
    found = generate(decoder, b"once", 40, temperature=0, logprobs=True, draft=draft)
    assert found.ids == plain.ids
    assert 0 < found.accepted < 1
    np.testing.assert_allclose(found.logprobs, plain.logprobs, atol=1e-4)
    ended = generate(decoder, b"once", 40, temperature=0, draft=draft, ends=[plain.ids[12]])
    assert (ended.ids, ended.finish) == (plain.ids[: plain.ids.index(plain.ids[12])], "end")
    assert generate(decoder, b"once", 0, temperature=0, draft=draft).ids == []
    assert len(generate(decoder, bytes(48), 5, temperature=0, draft=draft).ids) == 1


def test_an_n_gram_proposes_what_followed_behind_all_that_was_kept() -> None:
    draft, one, rng = NGramDraft(NGram(b"abcdabcdabcd", 3)), Sampling(0), np.random.default_rng(0)
    draft.start(list(b"ab"), ord("c"))
    assert bytes(draft.propose(3, one, rng)[0]) == b"dab"
    draft.settle(list(b"dab"), 2, ord("b"))  # two stayed, and the third was replaced by itself
    assert bytes(draft.propose(2, one, rng)[0]) == b"cd"
    draft.settle(list(b"cd"), 0, ord("d"))
    assert bytes(draft.propose(1, one, rng)[0]) == b"a"
    proposed, probabilities = draft.propose(2, Sampling(0.7), rng)
    assert [int(p.argmax()) for p in probabilities] == proposed
    assert all(p.sum() == p.max() == 1 for p in probabilities)
    assert draft.propose(0, one, rng)[0] == []
    apart = NGramDraft(NGram(b"xa1ya2xa1ya2", 3))
    apart.start(list(b"2"), ord("x"))
    apart.settle(list(b"y"), 0, ord("a"))  # what did not stay is no part of the text
    assert bytes(apart.propose(1, one, rng)[0]) == b"1"


def test_drawn_text_has_the_distribution_of_the_model_behind_an_n_gram() -> None:
    """Two bytes, of which the model likes a few; what an n-gram proposes has probability 1 there."""
    model = gpt(4, vocab_size=256, context=8, layers=1)
    decoder, settings = Decoder(model, compiled=False, page=8), {"temperature": 1.0, "top_k": 3}
    one = Sampling(1.0, top_k=3)
    first = one.probabilities(logits_of(model, [1, 3])[-1])
    joint = np.array(
        [
            p * one.probabilities(logits_of(model, [1, 3, i])[-1]) if p else np.zeros(256)
            for i, p in enumerate(first)
        ]
    )
    best = int(first.argsort()[-2])
    ngram = NGram(bytes([3, best, best, best]), 2)
    counts = np.zeros((256, 256))
    for seed in range(600):
        found = generate(decoder, [1, 3], 2, seed=seed, draft=ngram, ahead=2, **settings)
        counts[tuple(found.ids)] += 1
    assert counts[joint == 0].sum() == 0
    expected = joint[joint > 0] * counts.sum()
    chi = ((counts[joint > 0] - expected) ** 2 / expected).sum()
    assert chi < 30, chi  # of 8 degrees of freedom, about one in five thousand
