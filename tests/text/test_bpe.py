"""BPE against plain, slow versions of training and encoding; every way in which its file can be damaged."""

import json
import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.text import BPETokenizer, CharTokenizer

SAMPLE = (
    "It's the tokenizer's job: the 123 cats we've seen, they'll sit.\n\n"
    "    def merge(pairs):\n        return {pair: 1_000 for pair in pairs}\n"
    "na\u00efve caf\u00e9 \u2014 \u4e2d\u6587\u4e2d\u6587 \U0001f600\U0001f600 the the the aaaa aaaaaaa\t\r\n"
)
texts = st.text(st.sampled_from("ab'st \n1.\u00e9"), max_size=120)


def merge(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Replace a pair from left to right, by a recursion of its own."""
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], new, *merge(ids[i + 2 :], pair, new)]
    return ids


def split(raw: bytes) -> list[bytes]:
    """The rule of the pieces, one byte class at a time."""
    kinds = "".join(
        "s"
        if chr(b) in " \t\n\r\f\v"
        else "a"
        if b > 127 or chr(b).isalpha()
        else "0"
        if chr(b).isdigit()
        else "."
        for b in raw
    )
    pieces, i = [], 0
    while i < len(raw):
        contraction = re.match(rb"'(s|d|m|t|ll|ve|re)", raw[i:])
        start = i + 1 if raw[i : i + 1] == b" " and kinds[i + 1 : i + 2] not in ("", "s") else i
        run = len(re.match(re.escape(kinds[start]) + "+", kinds[start:])[0])  # type: ignore[index]
        if contraction:
            end = i + contraction.end()
        elif kinds[start] != "s":
            end = start + min(run, 63)
        else:
            end = i + min(run, 64)
            followed = end < len(raw) and kinds[end] != "s"
            if followed and end - i > 1:
                end -= 1
        pieces.append(raw[i:end])
        i = end
    return pieces


def learn(raw: bytes, count: int) -> list[tuple[int, int]]:
    """Train by counting all pairs of all pieces again for each merge."""
    words = [list(piece) for piece in split(raw)]
    merges: list[tuple[int, int]] = []
    for new in range(256, 256 + count):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        words = [merge(word, best, new) for word in words]
    return merges


def encode(raw: bytes, merges: list[tuple[int, int]]) -> list[int]:
    """Encode by going through all merges in the order in which they were learned."""
    ids: list[int] = []
    for piece in split(raw):
        word = list(piece)
        for new, pair in enumerate(merges, start=256):
            word = merge(word, pair, new)
        ids += word
    return ids


TRAINED = BPETokenizer.train(SAMPLE * 2, vocab_size=340)


@given(st.binary(max_size=400))
def test_any_bytes_come_back(raw: bytes) -> None:
    for tokenizer in (TRAINED, BPETokenizer(), BPETokenizer.train(raw, 300)):
        ids = tokenizer.encode(raw)
        assert ids.dtype == np.int32
        assert tokenizer.decode(ids) == raw


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert TRAINED.decode_text(TRAINED.encode(text)) == text


@given(texts, st.integers(0, 40))
def test_training_agrees_with_counting_again(text: str, count: int) -> None:
    assert BPETokenizer.train(text, 256 + count).merges == learn(text.encode(), count)


def test_training_on_real_text_agrees_with_counting_again() -> None:
    merges = learn(SAMPLE.encode() * 2, 200)
    assert len(merges) > 40
    assert BPETokenizer.train(SAMPLE * 2, 456).merges == merges


@given(texts)
def test_encoding_agrees_with_all_merges_in_order(text: str) -> None:
    merges = learn(text.encode() + SAMPLE.encode(), 60)
    assert BPETokenizer(merges).encode(text).tolist() == encode(text.encode(), merges)


@given(st.binary(max_size=200))
def test_encoding_bytes_agrees_with_all_merges_in_order(raw: bytes) -> None:
    assert TRAINED.encode(raw).tolist() == encode(raw, TRAINED.merges)


def test_hand_worked_merges() -> None:
    # l-o and o-w occur 3 times, and (108, 111) is the smaller; then lo-w 3 times, then space-low twice.
    tokenizer = BPETokenizer.train("low low lower", 259)
    assert tokenizer.merges == [(108, 111), (256, 119), (32, 257)]
    assert tokenizer.encode("low lower slow").tolist() == [257, 258, 101, 114, 32, 115, 257]


def test_ties_go_to_the_smallest_pair() -> None:
    assert BPETokenizer.train("yx.yx.ba.ba.", 257).merges == [(98, 97)]


def test_training_stops_when_no_pair_occurs_twice() -> None:
    assert BPETokenizer.train("abc", 1000).vocab_size == 256
    assert BPETokenizer.train("", 1000).vocab_size == 256


def test_training_compresses() -> None:
    ids = TRAINED.encode(SAMPLE)
    assert len(ids) < 0.6 * len(SAMPLE.encode())


@pytest.mark.parametrize("byte", [b"a", b" ", b"7", b"-", b"\xff"])
def test_long_runs_are_cut(byte: bytes) -> None:
    raw = byte * 150 + b"x" + byte * 64 + b"y " + byte * 65
    tokenizer = BPETokenizer.train(raw, 300)
    assert tokenizer.merges == learn(raw, 44)
    assert tokenizer.encode(raw).tolist() == encode(raw, tokenizer.merges)
    assert tokenizer.decode(tokenizer.encode(raw)) == raw
    assert max(len(tokenizer.decode([i])) for i in range(tokenizer.vocab_size)) <= 64


def test_characters_cut_in_two_are_marked() -> None:
    byte_level = BPETokenizer()
    assert byte_level.decode_text(byte_level.encode("\u00e9")[:1]) == "\ufffd"


def test_special_tokens_count_only_when_meant() -> None:
    tokenizer = BPETokenizer(TRAINED.merges, specials=["<end>", "<end>!"])
    first = TRAINED.vocab_size
    assert tokenizer.encode("a<end>b<end>!", specials=True).tolist() == [97, first, 98, first + 1]
    assert first not in tokenizer.encode("a<end>b")
    assert tokenizer.encode("a<end>b").tolist() == TRAINED.encode("a<end>b").tolist()
    for meant in (False, True):
        assert tokenizer.decode(tokenizer.encode("a<end>b", specials=meant)) == b"a<end>b"
    assert TRAINED.encode("ab", specials=True).tolist() == TRAINED.encode("ab").tolist()


def test_vocab_size_includes_specials() -> None:
    tokenizer = BPETokenizer.train(SAMPLE * 2, 300, specials=["<end>"])
    assert tokenizer.vocab_size == 300
    assert len(tokenizer.merges) == 43
    assert tokenizer.specials == {"<end>": 299}


def test_bad_arguments() -> None:
    with pytest.raises(DataError, match=r"vocab_size 100 is not in 256 \.\."):
        BPETokenizer.train("a", 100)
    with pytest.raises(DataError, match="257"):
        BPETokenizer.train("a", 256, specials=["<end>"])
    with pytest.raises(DataError, match="distinct"):
        BPETokenizer(specials=["a", "a"])
    with pytest.raises(DataError, match="surrogate"):
        TRAINED.encode("a\ud800")
    with pytest.raises(DTypeError, match="list"):
        TRAINED.encode([1, 2])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"id 999 at position 1 is not in 0 \.\. 339"):
        TRAINED.decode([0, 999])
    with pytest.raises(ShapeError, match="index a batch"):
        TRAINED.decode(np.zeros((2, 3), dtype=np.int64))


@given(texts, st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True, max_size=3))
def test_save_and_load(tmp_path_factory: pytest.TempPathFactory, text: str, specials: list[str]) -> None:
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    tokenizer = BPETokenizer.train(text, 280, specials)
    tokenizer.save(path)
    loaded = BPETokenizer.load(path)
    assert loaded.merges == tokenizer.merges
    assert loaded.specials == tokenizer.specials
    assert path.parent.joinpath("tokenizer.json").exists()
    assert len(list(path.parent.iterdir())) == 1


GOOD = {"format": "tinytorch-bpe", "version": 1, "merges": [[97, 98], [256, 99]], "specials": ["<end>"]}
DOUBLING = [[97, 97]] + [[i, i] for i in range(256, 256 + 60)]  # 2^61 bytes in the last token


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "tinytorch-char"}, "format 'tinytorch-bpe'"),
        ({"version": "1"}, "version '1'"),
        ({"merges": None}, "'merges'"),
        ({"merges": [[97, 98], [257, 99]]}, "merge 1 joins 257 and 99, but ids end at 256"),
        ({"merges": [[97, -1]]}, "joins 97 and -1"),
        ({"merges": [[97, 98], [97, 98]]}, "comes twice"),
        ({"merges": [[97, 98, 99]]}, "merge 0 is not a pair"),
        ({"merges": [[97, 98.5]]}, "merge 0 is not a pair"),
        ({"merges": [[True, 98]]}, "merge 0 is not a pair"),
        ({"merges": DOUBLING}, "makes 128 bytes"),
        ({"specials": "<end>"}, "'specials'"),
        ({"specials": [1]}, "not text"),
        ({"specials": ["", "a"]}, "not empty"),
        ({"specials": ["\ud800"]}, "surrogate"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(GOOD))
    assert BPETokenizer.load(path).vocab_size == 259
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(DataError, match=words) as caught:
        BPETokenizer.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(st.binary(max_size=80) | st.text(st.sampled_from('[]{}",:1e'), max_size=80).map(str.encode), st.data())
def test_any_file_loads_or_raises_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, data: st.DataObject
) -> None:
    raw = json.dumps(GOOD).encode()
    at = data.draw(st.integers(0, len(raw)))
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    for content in (noise, raw[:at], raw[:at] + noise + raw[at:], raw[:at] + noise):
        path.write_bytes(content)
        try:
            tokenizer = BPETokenizer.load(path)
        except DataError:
            continue
        assert tokenizer.decode(tokenizer.encode("abc")) == b"abc"


def test_files_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        BPETokenizer.load(tmp_path / "missing.json")
    with pytest.raises(DataError, match="cannot be read"):
        BPETokenizer.load(tmp_path)
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(DataError, match="not a tokenizer file"):
        BPETokenizer.load(deep)
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(DataError, match="68,157,440 bytes"):
        BPETokenizer.load(huge)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    TRAINED.save(path)
    before = path.read_bytes()
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(DataError, match="cannot be written .* unchanged"):
            TRAINED.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["tokenizer.json"]


def test_repr() -> None:
    assert repr(BPETokenizer()) == "BPETokenizer(vocab_size=256, specials=[])"
    assert repr(CharTokenizer("ab")) == "CharTokenizer(vocab_size=2, unk=None)"
