"""The character tokenizer against a dictionary, and every way in which its file can be damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.text import CharTokenizer

any_text = st.text(st.characters(), min_size=1)  # lone surrogates and other planes included


@given(any_text)
def test_round_trip(text: str) -> None:
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert ids.shape == (len(text),)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids.tolist()) == text


@given(any_text, st.text())
def test_encode_agrees_with_a_dictionary(text: str, other: str) -> None:
    tokenizer = CharTokenizer.train(text, unk="?")
    numbers = {character: i for i, character in enumerate(sorted({*text, "?"}))}
    assert tokenizer.vocab_size == len(numbers)
    assert tokenizer.encode(other).tolist() == [numbers.get(character, numbers["?"]) for character in other]


def test_ids_are_in_the_order_of_code_points() -> None:
    tokenizer = CharTokenizer.train("banana \U0001f600")
    assert tokenizer.characters == " abn\U0001f600"
    assert tokenizer.encode("nab").tolist() == [3, 1, 2]


def test_unknown_character_says_which_and_where() -> None:
    with pytest.raises(DataError, match=r"character 'z' at position 2 .* vocabulary of 2"):
        CharTokenizer.train("ab").encode("abz")


def test_empty_input() -> None:
    tokenizer = CharTokenizer.train("ab")
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.decode([]) == ""
    with pytest.raises(DataError, match="empty"):
        CharTokenizer.train("")


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        ([0, 2], DataError, "id 2 at position 1 is not in 0 .. 1"),
        ([-1], DataError, "id -1 at position 0"),
        ([0.5], DTypeError, "float64"),
        ([[0, 1]], ShapeError, r"\(1, 2\)"),
    ],
)
def test_decode_refuses_what_are_no_ids(ids: list[int], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CharTokenizer.train("ab").decode(ids)


@given(any_text, st.booleans())
def test_save_and_load(tmp_path_factory: pytest.TempPathFactory, text: str, with_unk: bool) -> None:
    path = tmp_path_factory.mktemp("char") / "tokenizer.json"
    tokenizer = CharTokenizer.train(text, unk="#" if with_unk else None)
    tokenizer.save(path)
    loaded = CharTokenizer.load(path)
    assert (loaded.characters, loaded.unk) == (tokenizer.characters, tokenizer.unk)


GOOD = {"format": "tinytorch-char", "version": 1, "characters": "ab", "unk": None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "tinytorch-bpe"}, "format 'tinytorch-char'"),
        ({"version": 2}, "version 2"),
        ({"characters": None}, "'characters'"),
        ({"characters": ""}, "empty"),
        ({"characters": "aa"}, "distinct"),
        ({"characters": "ba"}, "order"),
        ({"unk": 7}, "unk is 7"),
        ({"unk": "c"}, "unk 'c'"),
        ({"unk": "ab"}, "unk 'ab'"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(GOOD))
    assert CharTokenizer.load(path).vocab_size == 2
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(DataError, match=words) as caught:
        CharTokenizer.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
