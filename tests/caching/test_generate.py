"""Generation: what is said, where it ends, what is told of it, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.caching.small import MODELS, gpt, lively, llama, logits_of, state_of
from tinytorch import data
from tinytorch.caching import Decoder, Generation, generate
from tinytorch.caching.sampling import Sampling
from tinytorch.errors import GenerationError
from tinytorch.models import BERT, GPT, MLP, load_pretrained
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor, from_numpy

CONTEXT = 64


class Scripted(GPT):
    """A model that says a text, byte by byte, whatever it is told."""

    def __init__(self, script: bytes) -> None:
        super().__init__(vocab_size=256, context=CONTEXT, width=4, layers=1, heads=1)
        rows = np.zeros((CONTEXT + 1, 256), np.float32)
        rows[np.arange(CONTEXT), np.frombuffer(script.ljust(CONTEXT, b"~"), np.uint8)[:CONTEXT]] = 50
        self.rows = from_numpy(rows[1:])

    def forward(self, ids: Any, cache: Any = None) -> Any:
        positions = cache.positions(ids.shape[1])
        return super().forward(ids, cache) * 0.0 + self.rows[positions]


def saying(script: bytes, prompt: int = 1, **settings: Any) -> Decoder:
    return Decoder(Scripted(b"?" * prompt + script), compiled=False, page=8, **settings)


class Pairs:
    """A tokenizer of two-letter tokens: id i is the i-th of `words`."""

    def __init__(self, words: Sequence[bytes]) -> None:
        self.words = words

    def encode(self, text: str | bytes, specials: bool = False) -> list[int]:
        raw = text.encode() if isinstance(text, str) else text
        return [self.words.index(raw[i : i + 2]) for i in range(0, len(raw), 2)]

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.words[i] for i in ids)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    """A decoder of bytes that runs op by op."""
    return Decoder(gpt(vocab_size=256, context=CONTEXT), compiled=False, page=8)


# ---------------------------------------------------------------- as the model alone would


def alone(model: Any, prompt: Sequence[int], count: int, sampling: Sampling, seed: int) -> list[int]:
    """Tokens drawn one at a time from the model's logits without a cache."""
    rng, ids = np.random.default_rng(seed), list(prompt)
    for _ in range(count):
        ids.append(sampling.draw(logits_of(model, ids)[-1], rng))
    return ids[len(prompt) :]


@pytest.mark.parametrize(("name", "compiled"), [("llama", True), ("llama", False), ("gpt", False)])
def test_a_batch_of_prompts_is_as_each_alone(name: str, compiled: bool) -> None:
    model = MODELS[name](vocab_size=256, context=CONTEXT)
    several, one = (Decoder(model, batch=b, compiled=compiled, page=8) for b in (3, 1))
    prompts = [b"a", b"several", "\u00e9".encode()]
    for given_by in ({"temperature": 0}, {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "seed": 5}):
        found = generate(several, prompts, 12, logprobs=True, **given_by)
        for b, prompt in enumerate(prompts):
            own = {**given_by, "seed": given_by["seed"] + b} if "seed" in given_by else given_by
            single = generate(one, prompt, 12, logprobs=True, **own)
            assert isinstance(single, Generation)
            assert (found[b].ids, found[b].text) == (single.ids, single.text)
            np.testing.assert_allclose(found[b].logprobs, single.logprobs, atol=1e-4)
            sampling = Sampling(own["temperature"], own.get("top_k"), own.get("top_p"))
            assert single.ids == alone(model, list(prompt), 12, sampling, own.get("seed", 0))


def test_sequences_of_a_batch_end_for_themselves() -> None:
    decoder = Decoder(Scripted(b"??.one.two"), batch=3, compiled=False, page=8)
    found = generate(decoder, [b"?", b"??????", b"??"], 5, temperature=0, stop=["o"], ends=[ord("n")])
    assert [(g.text, g.finish, len(g.ids)) for g in found] == [
        ("?.", "stop", 3),
        (".tw", "stop", 4),
        (".", "stop", 2),
    ]
    found = generate(decoder, [b"?" * 4, b"?", b"?" * 7], 3, temperature=0, ends=[ord("n")])
    assert [(g.text, g.finish, len(g.ids)) for g in found] == [
        ("", "end", 0),
        ("?.o", "length", 3),
        ("two", "length", 3),
    ]


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_a_seed_gives_the_same_text_and_another_one_another(decoder: Decoder, seed: int) -> None:
    first, again = (generate(decoder, b"x", 20, seed=seed).ids for _ in range(2))
    assert first == again
    assert first != generate(decoder, b"x", 20, seed=(seed + 1) % 2**63).ids


def test_without_a_seed_texts_differ(decoder: Decoder) -> None:
    assert generate(decoder, b"x", 20).ids != generate(decoder, b"x", 20).ids


def test_logprobs_are_those_of_the_model_without_a_cache(decoder: Decoder) -> None:
    found = generate(decoder, b"abc", 20, temperature=0.5, top_k=9, seed=1, logprobs=True)
    logits = logits_of(decoder.model, [*b"abc", *found.ids])[2:-1].astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(found.logprobs, expected[np.arange(20), found.ids], atol=1e-5)
    assert generate(decoder, b"abc", 2, seed=1).logprobs is None


# ---------------------------------------------------------------- where it ends


@pytest.mark.parametrize("count", [0, 1, 5])
def test_at_most_so_many_tokens(decoder: Decoder, count: int) -> None:
    pieces: list[str] = []
    found = generate(decoder, b"abc", count, seed=0, stream=pieces.append)
    assert (len(found.ids), found.finish, found.prompt_ids) == (count, "length", [97, 98, 99])
    assert "".join(pieces) == found.text
    assert (found.text == "") == (count == 0)


@pytest.mark.parametrize("prompt", [1, 60, 63, 64])
def test_the_end_of_the_capacity_is_a_length(decoder: Decoder, prompt: int) -> None:
    found = generate(decoder, b"x" * prompt, 1000, seed=0)
    assert (len(found.ids), found.finish) == (CONTEXT - prompt + 1, "length")
    assert decoder.room == 0


@pytest.mark.parametrize("words", [[b"ab", b"cd", b"ef"], [b"ab", b"c", b"de", b"f"], [b"abcdef"]])
@pytest.mark.parametrize(
    ("stop", "text", "finish"),
    [
        (["cd"], "ab", "stop"),
        ("bc", "a", "stop"),
        (["zz", "bcde"], "a", "stop"),
        (["f"], "abcde", "stop"),
        (["cdx"], "abcdef", "length"),
        (["fg"], "abcdef", "length"),
        (["a"], "", "stop"),
        ([], "abcdef", "length"),
    ],
)
def test_a_stop_string_may_lie_across_tokens(words: list[bytes], stop: Any, text: str, finish: str) -> None:
    tokenizer, script = Pairs(words), bytes(range(len(words)))
    for draft in (None, saying(script)):
        pieces: list[str] = []
        found = generate(
            saying(script),
            [0],
            len(words),
            0,
            stop=stop,
            stream=pieces.append,
            tokenizer=tokenizer,
            draft=draft,
        )
        assert (found.text, found.finish) == (text, finish)
        assert "".join(pieces) == text
        said = tokenizer.decode(found.ids).decode()
        assert said.startswith(text)
        assert finish == "stop" or said == text


def test_a_token_that_ends_a_text_is_no_part_of_it() -> None:
    pieces: list[str] = []
    found = generate(
        saying(b"ab.cd"), b"?", 9, 0, stream=pieces.append, ends=[ord("."), ord("d")], logprobs=True
    )
    assert (found.ids, found.text, found.finish, pieces) == ([97, 98], "ab", "end", ["a", "b"])
    assert len(found.logprobs) == 2


@given(st.binary(min_size=1, max_size=20), st.integers(0, 20))
@settings(max_examples=30)
def test_pieces_are_the_text_of_any_bytes(script: bytes, count: int) -> None:
    pieces: list[str] = []
    found = generate(saying(script), b"?", min(count, len(script)), 0, stream=pieces.append)
    assert bytes(found.ids) == script[:count]
    assert "".join(pieces) == found.text == script[:count].decode("utf-8", "replace")
    assert "" not in pieces


def test_what_a_text_took_is_told(decoder: Decoder) -> None:
    found = generate(decoder, b"abc", 4, seed=0)
    assert found.prefill_seconds > 0
    assert found.decode_seconds > 0
    assert found.tokens_per_second == 3 / found.decode_seconds
    assert (found.reused, found.accepted) == (0, None)
    assert Generation([1]).tokens_per_second == 0
    assert Generation([1], [2], decode_seconds=1.0).tokens_per_second == 0


# ---------------------------------------------------------------- interrupted


def interrupting(at: int, pieces: list[str]) -> Any:
    def stream(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == at:
            raise KeyboardInterrupt

    return stream


@pytest.mark.parametrize("draft", [False, True])
@pytest.mark.parametrize("at", [1, 3])
def test_what_was_said_before_an_interrupt_stays(at: int, draft: bool) -> None:
    pieces: list[str] = []
    decoder = saying(b"abcdefgh", prefixes=1)
    settings: Any = {"stream": interrupting(at, pieces), "draft": saying(b"abcdefgh") if draft else None}
    found = generate(decoder, b"?", 8, 0, interruptible=True, **settings)
    assert (found.text, found.finish) == ("abcdefgh"[:at], "interrupted")
    assert found.text == "".join(pieces) == bytes(found.ids).decode()
    again = generate(decoder, b"?" + bytes(found.ids), 8 - at, 0)
    assert again.text == "abcdefgh"[at:]
    assert again.reused == at


def test_an_interrupt_passes_through_unless_it_may_be_kept() -> None:
    with pytest.raises(KeyboardInterrupt):
        generate(saying(b"abc"), b"?", 3, 0, stream=interrupting(2, []))


def test_an_interrupt_while_what_was_held_back_is_shown() -> None:
    pieces: list[str] = []
    found = generate(
        saying(b"abc"), b"?", 3, 0, stop="cd", stream=interrupting(3, pieces), interruptible=True
    )
    assert (found.text, found.finish, pieces) == ("abc", "length", ["a", "b", "c"])


def test_an_interrupt_before_the_prompt_was_read_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder(gpt(vocab_size=256, context=CONTEXT), compiled=False, page=8, prefixes=2)
    generate(decoder, b"something else", 3, 0)
    expected = generate(decoder, b"a prompt", 6, 0).ids
    generate(decoder, b"something else", 3, 0)
    decoder.prefixes.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Decoder, "start", interrupted)
        found = generate(decoder, b"a prompt", 6, 0, interruptible=True)
    assert (found.ids, found.text, found.finish) == ([], "", "interrupted")
    assert generate(decoder, b"a prompt", 6, 0).ids == expected


def interrupted(*_: Any) -> Array:
    raise KeyboardInterrupt


# ---------------------------------------------------------------- texts that begin alike


def test_a_text_that_goes_on_is_not_read_again(decoder: Decoder) -> None:
    kept = Decoder(decoder.model, compiled=False, page=8, prefixes=1)
    first = generate(kept, b"abc", 10, 0)
    second = generate(kept, [*b"abc", *first.ids, *b"xy"], 10, 0)
    assert second.reused == 12  # the last token was not fed
    assert second.ids == generate(decoder, [*b"abc", *first.ids, *b"xy"], 10, 0).ids


@pytest.mark.parametrize("window", [None, 14])
def test_drafts_and_memory_of_texts_go_together(window: int | None) -> None:
    model = gpt(vocab_size=256, context=CONTEXT)
    kept, fresh = (Decoder(model, 40, compiled=False, page=4, prefixes=n, window=window) for n in (2, 0))
    draft = Decoder(lively(gpt(vocab_size=256, context=CONTEXT), 3), compiled=False, page=8)
    ids, limit = [*b"beginning of"], 7
    for _ in range(3):
        found = generate(kept, ids, limit, 0, draft=draft, ahead=3)
        assert found.ids == generate(fresh, ids, limit, 0).ids
        ids += found.ids
    assert found.reused > 20


# ---------------------------------------------------------------- models as they are


@pytest.mark.parametrize("compiled", [True, False])
def test_a_model_in_training_mode_is_in_training_mode_afterwards(compiled: bool) -> None:
    model = gpt(vocab_size=256, context=CONTEXT, dropout=0.5)
    expected = generate(Decoder(model, compiled=False, page=8), b"ab", 5, 0).ids
    model.train()
    assert generate(Decoder(model, compiled=compiled, page=8), b"ab", 5, 0).ids == expected
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_a_model_itself_may_be_given() -> None:
    model = gpt(vocab_size=256, context=16, layers=1)
    found = generate(model, ["ab", b"c"], 3, 0)
    assert [g.ids for g in found] == [alone(model, list(p), 3, Sampling(0), 0) for p in (b"ab", b"c")]


@pytest.mark.parametrize("prompt", ["a\u00e9", b"a\xc3\xa9", [97, 195, 169], np.array([97, 195, 169])])
def test_a_prompt_is_text_bytes_or_ids(decoder: Decoder, prompt: Any) -> None:
    assert generate(decoder, prompt, 1, 0).prompt_ids == [97, 195, 169]


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("prompt", "wrong", "message"),
    [
        (b"", {}, "each needs at least one"),
        ("", {}, "each needs at least one"),
        ([], {}, "each needs at least one"),
        ([256], {}, "id 256; the model has ids 0 to 255"),
        ([3, -1], {}, "id -1"),
        ([0.5, 1.0], {}, "a list of ids"),
        (b"x" * 65, {}, "a prompt of 65 tokens, and the cache holds 64"),
        ([b"a", b"b"], {}, "for 1 sequences"),
        (b"a", {"max_new_tokens": -1}, "max_new_tokens -1"),
        (b"a", {"temperature": -0.5}, "temperature -0.5"),
        (b"a", {"temperature": float("nan")}, "temperature nan"),
        (b"a", {"top_p": 0.0}, "top_p 0.0"),
        (b"a", {"top_p": 1.5}, "top_p 1.5"),
        (b"a", {"top_k": 0}, "top_k 0"),
        (b"a", {"seed": -1}, "seed -1"),
        (b"a", {"stop": ""}, "none empty"),
        (b"a", {"stop": ["x", ""]}, "none empty"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_changed(
    decoder: Decoder, prompt: Any, wrong: Any, message: str
) -> None:
    generate(decoder, b"before", 2, 0)
    before = state_of(decoder.cache)
    with pytest.raises(GenerationError, match=message):
        generate(decoder, prompt, **{"max_new_tokens": 3, **wrong})
    assert state_of(decoder.cache) == before


def test_a_batch_has_no_stream() -> None:
    decoder = Decoder(gpt(vocab_size=256), batch=2, compiled=False)
    with pytest.raises(GenerationError, match="no one text to stream"):
        generate(decoder, [b"a", b"b"], 2, stream=list[str]().append)


def test_other_ids_than_bytes_need_a_tokenizer() -> None:
    with pytest.raises(GenerationError, match="a model of 40 ids needs its tokenizer"):
        generate(Decoder(llama(), compiled=False), [1], 2)


@pytest.mark.parametrize("model", [MLP((4, 3)), BERT(vocab_size=256, context=8, width=16, layers=1, heads=2)])
def test_models_that_are_no_language_models_are_refused(model: Any) -> None:
    with pytest.raises(GenerationError, match=f"{type(model).__name__}: no language model"):
        generate(model, b"a", 2)


def test_logits_that_are_no_numbers_are_refused() -> None:
    model = gpt(vocab_size=256, context=8, layers=1)
    model.wte.weight.assign_(Tensor(np.full(model.wte.weight.shape, np.nan, np.float32)))
    for temperature in (0, 1):
        with pytest.raises(GenerationError, match="logits is nan"):
            generate(Decoder(model, compiled=False), b"a", 2, temperature)


# ---------------------------------------------------------------- a cache of codes


def test_a_cache_of_codes_costs_next_to_no_loss_and_half_the_memory() -> None:
    """At most 0.01 nats of the shipped GPT's loss on text that it was not trained on."""
    model = load_pretrained("gpt")
    text = np.frombuffer(data.load("pydocs", "validation").text[: 12 * 128], np.uint8)
    ids = text.reshape(12, 128).astype(np.int64)
    losses, bytes_of = {}, {}
    for dtype in ("float32", "float16", "int8"):
        decoder = Decoder(model, batch=12, dtype=dtype, compiled=False)
        rows = [decoder.feed(ids[:, i : i + 32], every=True) for i in range(0, 128, 32)]
        logits = np.concatenate(rows, 1)[:, :-1].astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        chosen = np.take_along_axis(logits, ids[:, 1:, None], -1)[..., 0]
        losses[dtype] = float((np.log(np.exp(logits).sum(-1)) - chosen).mean())
        bytes_of[dtype] = decoder.cache.nbytes
    assert 0.5 < losses["float32"] < 3
    assert abs(losses["float16"] - losses["float32"]) < 1e-3
    assert abs(losses["int8"] - losses["float32"]) <= 0.01
    assert losses["int8"] != losses["float16"] != losses["float32"]
    assert bytes_of["float32"] == 2 * bytes_of["float16"]
    assert bytes_of["float16"] >= 1.9 * bytes_of["int8"]
