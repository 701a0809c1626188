"""Pieces and tokens beside published patterns, run by `regex`, and beside the library `tokenizers`."""

from __future__ import annotations

import random

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from tinytorch.text.merges import MergesTokenizer, byte_characters

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
# Left out: what Unicode had not assigned when this Python was made, and the long s, which `regex` takes for
# an s where case is ignored.
CHARACTERS = st.one_of(
    st.sampled_from("ab'stlvemrdSTLV 12\t\n\r.,é漢²Ⅷ٣\u0301\u00a0\u3000\u2028\x85🙂"),
    st.characters(exclude_categories=("Cn", "Cs"), exclude_characters="\u017f"),
)
TEXTS = st.text(CHARACTERS, max_size=60)


def learned(split: str, seed: int = 1) -> tuple[MergesTokenizer, dict[str, int], list[tuple[str, str]]]:
    """A tokenizer of random merges, its tokens and merges."""
    rng, tokens, merges = random.Random(seed), byte_characters(), list[tuple[str, str]]()
    common = [t for t in tokens if t in "abstlvemrdĠĊ12.'Ã©"]
    while len(merges) < 60:
        pair = rng.choice(common), rng.choice(common)
        if "".join(pair) not in tokens:
            merges.append(pair)
            tokens.append("".join(pair))
            common.append(tokens[-1])
    tokenizer = MergesTokenizer(tokens, [" ".join(pair) for pair in merges], split=split)
    return tokenizer, {token: i for i, token in enumerate(tokens)}, merges


@pytest.mark.parametrize("split", ["gpt-2", "llama-bpe"])
def test_pieces_are_those_of_the_published_pattern(split: str) -> None:
    tokenizer, pattern = learned(split)[0], {"gpt-2": GPT2, "llama-bpe": LLAMA3}[split]

    @given(TEXTS)
    def check(text: str) -> None:
        assert list(tokenizer._pieces(text)) == regex.findall(pattern, text)

    check()


@pytest.mark.parametrize("split", ["gpt-2", "smollm"])
def test_tokens_are_those_of_the_library(split: str) -> None:
    ours, vocabulary, merges = learned(split)
    theirs = Tokenizer(models.BPE(vocabulary, merges))
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    theirs.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_only]) if split == "smollm" else bytes_only

    @given(TEXTS)
    def check(text: str) -> None:
        assert ours.encode(text).tolist() == theirs.encode(text).ids

    check()


def test_a_piece_that_is_a_token_as_llama_3_has_it() -> None:
    ours, vocabulary, merges = learned("llama-bpe")
    for token in ("absent", "Ġdead", "é漢"):  # no merges lead there
        raw = "".join(byte_characters()[byte] for byte in token.replace("Ġ", " ").encode())
        vocabulary[raw] = len(vocabulary)
    ours = MergesTokenizer(list(vocabulary), [" ".join(pair) for pair in merges], split="llama-bpe")
    theirs = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    for text in ("absent absents dead deads é漢 é漢x", "DEAD dead\n\ndead 12345"):
        assert ours.encode(text).tolist() == theirs.encode(text).ids
    assert vocabulary["absent"] in ours.encode("absent")
