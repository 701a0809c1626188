"""SmolLM2-135M-Instruct, the real file, beside llama.cpp: tokens, what it says next, and perplexity.

A model that is quantized on both sides is chaotic: a code that rounds the other way moves all that follows.
So logits are compared with a float64 evaluation of the same weights, and llama.cpp by what is stable.
"""

from __future__ import annotations

import json
import os
import random
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cached.llama import LlamaCpp
from tests.models.llama_numpy import logits
from tinytorch.caching import Decoder
from tinytorch.caching.language import Language, load_language
from tinytorch.data import load
from tinytorch.errors import CheckpointError
from tinytorch.models.fetch import SMOLLM2, locate
from tinytorch.models.gguf import GGUF
from tinytorch.models.llama import Llama

Array = np.ndarray[Any, Any]
PROMPT, IDS = "The capital of France is", [504, 3575, 282, 4649, 314]
FORCED = 1024
"""Tokens whose probabilities are compared."""


@pytest.fixture(scope="module")
def path() -> Path:
    """The file; in CI it has to be there."""
    try:
        return locate(SMOLLM2)
    except CheckpointError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def language(path: Path) -> Language:
    return load_language(path)


@pytest.fixture(scope="module")
def expanded(path: Path) -> Language:
    """The model with weights in float32."""
    return load_language(path, expand=True)


@pytest.fixture(scope="module")
def server(path: Path) -> LlamaCpp:
    """llama.cpp with one thread."""
    return LlamaCpp(path)


def tokens(server: LlamaCpp, text: str, specials: bool) -> list[int]:
    body = json.dumps({"content": text, "parse_special": specials}).encode()
    request = urllib.request.Request(
        f"{server.server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        found: list[int] = json.load(answer)["tokens"]
    return found


def pydocs() -> str:
    return load("pydocs", "test").text.decode()


# ---------------------------------------------------------------- tokens


def texts() -> list[str]:
    rng, source = random.Random(5), pydocs()
    slices = [source[at : at + 400] for at in (rng.randrange(len(source) - 400) for _ in range(60))]
    code = [Path(__file__).read_text(encoding="utf-8"), "def f(x):\n\treturn x**2  # \u00b2\r\n\r\n\n"]
    kinds = "aB é漢ß'\"0123456789.,;-_()\n\t\r \u00a0\u3000\u0301\U0001f642\u20ac\u00b2\u2167\u0663क्ष"
    mixed = ["".join(rng.choices(kinds, k=80)) for _ in range(40)]
    spaces = [
        "",
        " ",
        "\n",
        "  \n \n\n  x  y \t\t z",
        "\r\n\r\n",
        "a" + " " * 40 + "b",
        "\u2028x\u2029 \x85 y",
    ]
    numbers = [
        "3.14159 1e-10 1,000,000 0xff 007",
        "\u00bd \u00b2\u00b3 \u2167 \u0661\u0662\u0663 \u3007 1\u0660",
    ]
    words = [
        "It's we'll I'd they've you're he'm can't IT'S 'tis ''s",
        "Zażółć gęślą jaźń; Быстрая лиса; 敏捷的棕色狐狸; שלום עולם; مرحبا; नमस्ते; สวัสดี; 안녕하세요",
        "e\u0301\u0302 \u200b\u200d\ufeff \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7",
        "<|im_start|>user\nHi<|im_end|>\n<|endoftext|> <|im_end",
        "x" * 300 + " " + "ab" * 200,
    ]
    return [*slices, *code, *mixed, *spaces, *numbers, *words]


@pytest.mark.parametrize("specials", [False, True])
def test_tokens_are_those_of_llama_cpp(language: Language, server: LlamaCpp, specials: bool) -> None:
    assert tokens(server, PROMPT, specials) == IDS
    found = texts()
    assert len(found) > 100
    for text in found:
        ours = language.tokenizer.encode(text, specials)
        assert ours.tolist() == tokens(server, text, specials), text
        assert language.tokenizer.decode_text(ours) == text


def test_characters_of_the_whole_of_unicode(language: Language, server: LlamaCpp) -> None:
    """Letters, numbers, marks, spaces and others; not those that a byte without a token begins or is."""
    skip = {ord(chr(byte)) for byte in language.tokenizer.missing if byte < 128}
    points = [
        *range(0x3000),
        *range(0x3000, 0xD800, 23),
        *range(0xE000, 0x10000, 13),
        *range(0x1F300, 0x1F700),
    ]
    wanted = [p for p in points if p not in skip]
    for begin in range(0, len(wanted), 512):
        text = "".join(f"a{chr(p)}b {chr(p)}{chr(p)}1 " for p in wanted[begin : begin + 512])
        assert language.tokenizer.encode(text).tolist() == tokens(server, text, False)


# ---------------------------------------------------------------- what comes next


def test_both_go_on_alike(language: Language, server: LlamaCpp) -> None:
    assert language.ids(PROMPT) == IDS
    decoder = Decoder(language.model, 64)
    following, scores = list[int](), decoder.feed([IDS])
    for _ in range(2):
        following.append(int(scores[0].argmax()))
        scores = decoder.feed([following[-1:]])
    assert language.tokenizer.decode_text(following) == " Paris."
    for prompt in (PROMPT, IDS):
        assert server.ask(prompt, 2)["choices"][0]["text"] == " Paris."


def log_probabilities(scores: Array, following: list[int]) -> Array:
    """Of each next token, in float64."""
    wide = scores - scores.max(-1, keepdims=True).astype(np.float64)
    found: Array = wide[np.arange(len(wide)), following] - np.log(np.exp(wide).sum(-1))
    return found


def test_perplexity_and_likeliest_tokens(language: Language, server: LlamaCpp) -> None:
    ids = language.tokenizer.encode(pydocs()[:8000]).tolist()[: FORCED + 1]
    assert len(ids) == FORCED + 1
    theirs, their_best, their_margins = server.forced(ids)
    scores = Decoder(language.model, FORCED + 64).feed([ids[:-1]], every=True)[0].astype(np.float64)
    ours = log_probabilities(scores, ids[1:])
    error = (ours - theirs).std() / FORCED**0.5  # of the mean, from token to token
    assert error < 5e-3
    assert abs((ours - theirs).mean()) <= max(5e-3, 3 * error)
    assert 3 < np.exp(-ours.mean()) < 60  # of a language model that has read such text
    best_two = np.sort(scores, -1)[:, -2:]
    clear = (best_two[:, 1] - best_two[:, 0] > 0.5) & (their_margins > 0.5)
    assert clear.mean() > 0.5
    assert np.array_equal(scores.argmax(-1)[clear], their_best[clear])


def test_float32_logits_are_those_of_the_weights(path: Path, expanded: Language) -> None:
    """With weights expanded nothing is chaotic: every logit is that of a float64 evaluation."""
    model = expanded.model
    assert isinstance(model, Llama)
    assert model.num_parameters() == SMOLLM2.parameters
    ids = expanded.tokenizer.encode(pydocs()[:400]).tolist()[:32]
    assert len(ids) == 32
    with GGUF(path) as file:
        weights = {name: file.array(info) for name, info in file.tensors.items()}
    expected = logits(weights, model.config(), ids)
    found = Decoder(model, 64, "float32").feed([ids], every=True)[0]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-3


def test_an_int8_cache_costs_at_most_a_hundredth_of_a_nat(expanded: Language) -> None:
    """Heads of 64, 30 layers, and a text long enough for errors of keys and values to add up."""
    ids = expanded.tokenizer.encode(pydocs()[:4000]).tolist()[: FORCED // 2 + 1]
    assert len(ids) == FORCED // 2 + 1
    losses = {}
    for dtype in ("float32", "int8"):
        scores = Decoder(expanded.model, FORCED, dtype).feed([ids[:-1]], every=True)[0]
        losses[dtype] = -log_probabilities(scores, ids[1:]).mean()
    assert abs(losses["int8"] - losses["float32"]) <= 0.01
