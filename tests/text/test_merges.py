"""Tokens by merges: pieces as published patterns cut them, merges as a plain version makes them, bytes."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.text.merges import LONGEST, SPLITS, MergesTokenizer, byte_characters

BYTES = byte_characters()


def written(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return "".join(BYTES[byte] for byte in raw)


def learned(*merges: str, specials: tuple[str, ...] = (), split: str = "gpt-2") -> MergesTokenizer:
    """A tokenizer of all bytes and what merges make: plain text with a bar between left and right."""
    pairs = [" ".join(map(written, merge.split("|"))) for merge in merges]
    tokens = [*BYTES, *dict.fromkeys(pair.replace(" ", "") for pair in pairs), *specials]
    return MergesTokenizer(tokens, pairs, [tokens.index(name) for name in specials], split)


def pieces(text: str, split: str) -> list[str]:
    return list(learned(split=split)._pieces(text))


def parts(tokenizer: MergesTokenizer, text: str | bytes, specials: bool = False) -> list[bytes]:
    """The text of each token."""
    return [tokenizer.decode([i]) for i in tokenizer.encode(text, specials)]


# ---------------------------------------------------------------- bytes as characters


def test_every_byte_is_written_as_a_printable_character_of_its_own() -> None:
    assert len(set(BYTES)) == 256
    for byte, character in enumerate(BYTES):
        assert character.isprintable()
        assert not character.isspace()
        printable = chr(byte).isprintable() and not chr(byte).isspace()
        assert (character == chr(byte)) == printable, byte
    rest = [c for byte, c in enumerate(BYTES) if c != chr(byte)]
    assert rest == [chr(256 + i) for i in range(68)]  # in order
    assert (BYTES[0], BYTES[10], BYTES[32], BYTES[127], BYTES[173]) == ("Ā", "Ċ", "Ġ", "ġ", "Ń")


# ---------------------------------------------------------------- pieces

# from the patterns of GPT-2, SmolLM (digits by themselves before) and Llama 3, by hand
PIECES = [
    ("gpt-2", "Hello world", ["Hello", " world"]),
    ("gpt-2", "  Hello  world ", [" ", " Hello", " ", " world", " "]),
    ("gpt-2", "it's we'll I'd they've you're he'm can't", None),
    ("gpt-2", "IT'S 'sx 'lx", ["IT", "'", "S", " '", "sx", " '", "lx"]),
    ("gpt-2", "'tis", ["'t", "is"]),
    ("gpt-2", "a1b22 333", ["a", "1", "b", "22", " 333"]),
    ("gpt-2", "x\n\n  y", ["x", "\n\n ", " y"]),
    ("gpt-2", "x\n\ny\t", ["x", "\n", "\n", "y", "\t"]),
    ("gpt-2", "x\t\ty", ["x", "\t", "\t", "y"]),
    ("gpt-2", "a,b!!  ?", ["a", ",", "b", "!!", " ", " ?"]),
    ("gpt-2", "x_1 = y", ["x", "_", "1", " =", " y"]),
    ("gpt-2", "café naïve 漢字", ["café", " naïve", " 漢字"]),
    ("gpt-2", "x² Ⅷ ½٣", ["x", "²", " Ⅷ", " ½٣"]),  # numbers, though no digits
    ("gpt-2", "e\u0301a", ["e", "\u0301", "a"]),  # a mark that combines is no letter
    ("gpt-2", "क्या", ["क", "्", "य", "ा"]),  # nor are the vowels of Devanagari
    ("gpt-2", "a\u00a0b\u3000 c\u2028", ["a", "\u00a0", "b", "\u3000", " c", "\u2028"]),  # Unicode's spaces
    ("gpt-2", "a\u00a0\u3000b,\u2003", ["a", "\u00a0", "\u3000", "b", ",", "\u2003"]),
    ("gpt-2", "a\u200bb\u180ec", ["a", "\u200b", "b", "\u180e", "c"]),  # which look like spaces and are none
    ("gpt-2", "🙂🙂 €", ["🙂🙂", " €"]),
    ("gpt-2", "a\x1cb\x85c", ["a", "\x1c", "b", "\x85", "c"]),
    ("gpt-2", "", []),
    ("smollm", "a1b22 333", ["a", "1", "b", "2", "2", " ", "3", "3", "3"]),
    ("smollm", "x²Ⅷ٣", ["x", "²", "Ⅷ", "٣"]),
    ("smollm", "it's  v1.0\n", ["it", "'s", " ", " v", "1", ".", "0", "\n"]),
    ("smollm", "  7", ["  ", "7"]),
    ("smollm", "7  x", ["7", " ", " x"]),
    ("llama-bpe", "Hello world", ["Hello", " world"]),
    ("llama-bpe", "IT'S it'Ll", ["IT", "'S", " it", "'Ll"]),
    ("llama-bpe", "a1b22 4444", ["a", "1", "b", "22", " ", "444", "4"]),
    ("llama-bpe", "(x) = y;\n\n  z", ["(x", ")", " =", " y", ";\n\n", " ", " z"]),
    ("llama-bpe", "x \n \n y", ["x", " \n \n", " y"]),
    ("llama-bpe", "\tx\r\n", ["\tx", "\r\n"]),
    ("llama-bpe", "\u00a0x\u2028", ["\u00a0x", "\u2028"]),
    ("llama-bpe", "   ", ["   "]),
]


@pytest.mark.parametrize(("split", "text", "expected"), PIECES)
def test_pieces(split: str, text: str, expected: list[str] | None) -> None:
    if expected is None:
        expected = re.findall(r"'[a-z]+| ?[a-z]+", text, re.IGNORECASE)
    assert pieces(text, split) == expected


def test_a_file_that_does_not_say_how_gets_the_pieces_of_gpt_2() -> None:
    for _, text, _ in PIECES:
        assert pieces(text, "default") == pieces(text, "gpt-2")


@given(st.text(st.one_of(st.sampled_from("ab'slve 12\t\n\r.é漢²\u0301\u00a0"), st.characters())), st.data())
def test_pieces_are_the_text_and_none_is_empty(text: str, data: st.DataObject) -> None:
    found = pieces(text, data.draw(st.sampled_from(sorted(SPLITS))))
    assert "".join(found) == text
    assert all(found)


def test_a_long_piece_is_cut() -> None:
    assert [len(p) for p in pieces("x" * (2 * LONGEST + 1), "gpt-2")] == [LONGEST, LONGEST, 1]


# ---------------------------------------------------------------- merges


def test_the_first_learned_goes_first_wherever_it_is() -> None:
    tokenizer = learned("b|c", "a|b", "a|bc", "aa|aa", "a|a")
    assert parts(tokenizer, "abcab") == [b"abc", b"ab"]
    assert parts(tokenizer, "aaaaa") == [b"aaaa", b"a"]  # from the left, then what that made
    assert parts(learned("a|b", "b|c"), "abc") == [b"ab", b"c"]
    assert parts(learned("b|c", "a|b"), "abc") == [b"a", b"bc"]


def test_merges_stay_within_their_piece_and_know_bytes_not_characters() -> None:
    assert parts(learned("a| ", " |b", "b|1"), "a b1") == [b"a", b" b", b"1"]
    half = BYTES[0xA9]  # the second byte of é
    tokenizer = MergesTokenizer([*BYTES, half + "x"], [f"{half} x"])
    assert parts(tokenizer, "éx") == [b"\xc3", b"\xa9x"]


def test_a_merge_that_comes_twice_has_the_rank_of_its_first() -> None:
    assert parts(learned("a|b", "b|c", "a|b"), "abc") == [b"ab", b"c"]


def slow(raw: bytes, merges: list[tuple[bytes, bytes]]) -> list[bytes]:
    """One merge after the other, each over the whole piece."""
    found = [bytes([byte]) for byte in raw]
    while True:
        ranks = [merges.index(pair) for pair in pairwise(found) if pair in merges]
        if not ranks:
            return found
        left, right = merges[min(ranks)]
        i, joined = 0, list[bytes]()
        while i < len(found):
            both = found[i : i + 2] == [left, right]
            joined.append(left + right if both else found[i])
            i += 1 + both
        found = joined


@given(st.integers(0, 10**6), st.text("abc", max_size=40))
def test_merges_against_a_plain_version(seed: int, text: str) -> None:
    rng = random.Random(seed)
    made, merges = [b"a", b"b", b"c"], list[tuple[bytes, bytes]]()
    for _ in range(rng.randrange(12)):
        pair = rng.choice(made), rng.choice(made)
        if pair[0] + pair[1] not in made:
            merges.append(pair)
            made.append(pair[0] + pair[1])
    tokenizer = learned(*(f"{left.decode()}|{right.decode()}" for left, right in merges))
    assert parts(tokenizer, text) == slow(text.encode(), merges)


def test_a_piece_that_is_a_token_is_that_token_for_llama_3_only() -> None:
    """Though no merges lead there."""
    for split, expected in (("gpt-2", [b"a", b"b"]), ("llama-bpe", [b"ab"])):
        tokenizer = MergesTokenizer([*BYTES, "ab"], [], split=split)
        assert parts(tokenizer, "ab") == expected
        assert parts(tokenizer, "abc") == [b"a", b"b", b"c"]


# ---------------------------------------------------------------- round trips

TOKENIZER = learned("t|h", "th|e", " |the", "l|l", " | ", specials=("<|end|>", "<|end|>>", "[a.c]"))


@given(st.text(st.one_of(st.sampled_from("the é<|end|>\n1"), st.characters())), st.booleans())
def test_text_comes_back(text: str, specials: bool) -> None:
    ids = TOKENIZER.encode(text, specials)
    assert ids.dtype == np.int32
    assert TOKENIZER.decode_text(ids) == text
    assert np.array_equal(TOKENIZER.encode(text.encode(), specials), ids)


@given(st.binary(), st.booleans())
def test_bytes_come_back(raw: bytes, specials: bool) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(raw, specials)) == raw


@given(st.lists(st.integers(0, TOKENIZER.vocab_size - 1)))
def test_any_ids_are_bytes(ids: list[int]) -> None:
    assert TOKENIZER.decode(ids) == b"".join(TOKENIZER.decode([i]) for i in ids)


def test_what_was_encoded_before_changes_nothing() -> None:
    fresh = learned("t|h", "th|e")
    first = fresh.encode("the then").tolist()
    assert fresh.encode("the then").tolist() == first
    assert first == [257, 32, 257, 110]


def test_half_a_surrogate_pair() -> None:
    """In text it is what UTF-8 would make of it; out of bytes it is the byte that was no UTF-8."""
    assert TOKENIZER.decode(TOKENIZER.encode("\ud800")) == b"\xed\xa0\x80"
    assert TOKENIZER.decode(TOKENIZER.encode("x\udc80\ud800")) == b"x\xed\xb2\x80\xed\xa0\x80"
    assert TOKENIZER.decode(TOKENIZER.encode(b"\xed\xa0\x80x\x80")) == b"\xed\xa0\x80x\x80"
    assert TOKENIZER.decode_text(TOKENIZER.encode(b"a\x80b")) == "a\ufffdb"


# ---------------------------------------------------------------- specials


def test_special_tokens_are_plain_text_unless_they_are_meant() -> None:
    end, longer, odd = (
        TOKENIZER.specials["<|end|>"],
        TOKENIZER.specials["<|end|>>"],
        TOKENIZER.specials["[a.c]"],
    )
    assert parts(TOKENIZER, "x<|end|>") == [b"x", b"<", b"|", b"e", b"n", b"d", b"|", b">"]
    assert TOKENIZER.encode("<|end|>the<|end|>>[a.c]", specials=True).tolist() == [end, 257, longer, odd]
    assert parts(TOKENIZER, "[abc]", specials=True) == [b"[", b"a", b"b", b"c", b"]"]
    assert TOKENIZER.decode([end, odd]) == b"<|end|>[a.c]"


def test_a_special_token_cuts_pieces_and_merges() -> None:
    tokenizer = learned("a|b", " |b", specials=("&&",))
    assert parts(tokenizer, "a&&b", specials=True) == [b"a", b"&&", b"b"]
    assert parts(tokenizer, "a&& b&&", specials=True) == [b"a", b"&&", b" b", b"&&"]


def test_special_tokens_with_an_empty_name_beside_them_and_none_at_all() -> None:
    tokens = [*BYTES, "", "<s>"]
    tokenizer = MergesTokenizer(tokens, [], [256, 257, 999, -1])
    assert tokenizer.encode("<s>", specials=True).tolist() == [257]
    assert tokenizer.decode([256, 257]) == b"<s>"
    assert parts(learned(), "a", specials=True) == [b"a"]


def test_a_special_token_beyond_latin_is_its_name() -> None:
    tokenizer = MergesTokenizer([*BYTES, "<Ġ>", "<é▁漢>"], [], [256, 257])
    assert tokenizer.decode_text([256, 257]) == "<Ġ><é▁漢>"
    assert MergesTokenizer([*BYTES, "漢"], []).decode_text([256]) == "漢"  # no characters of bytes


# ---------------------------------------------------------------- bytes without tokens


def test_bytes_without_a_token_become_the_replacement_character() -> None:
    without = [c for c in BYTES if c not in (BYTES[0xC0], BYTES[0x07])]
    first, second, _ = written("\ufffd")
    tokenizer = MergesTokenizer([*without, first + second], [f"{first} {second}"])
    assert tokenizer.missing == [0x07, 0xC0]
    assert tokenizer.decode_text(tokenizer.encode("a\x07b")) == "a\ufffdb"
    assert parts(tokenizer, "a\x07b") == [b"a", b"\xef\xbf", b"\xbd", b"b"]  # merged as it would be
    assert tokenizer.decode(tokenizer.encode(b"\xc0\x07")) == "\ufffd\ufffd".encode()
    few = MergesTokenizer(["a", "b"], [])
    assert parts(few, "a漢b\n") == [b"a", b"b"]


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("tokens", "merges", "split", "reason"),
    [
        (["a", "b", "a"], [], "gpt-2", "1 of its tokens come twice"),
        (["a", "b"], ["a b"], "gpt-2", "merge 0, 'a b', .*makes no token"),
        (["a", "b", "ab"], ["a b", "ab"], "gpt-2", "merge 1, 'ab', "),
        (["a", "b", "ab"], [" ab"], "gpt-2", "merge 0, ' ab', "),
        (["a", "b", "ab"], ["a b "], "gpt-2", "merge 0, 'a b ', "),
        (["a", "b", "ab"], [""], "gpt-2", "merge 0, '', "),
        (["a"], ["x" * 999], "gpt-2", "merge 0, 'x{40}', "),
        (["a"], [], "qwen2", "cut as 'qwen2' says, which is not known: gpt-2, smollm, llama-bpe, default"),
        (["a"], [], "x" * 999, "cut as 'x{40}' says"),
    ],
)
def test_tokens_and_merges_that_do_not_fit(
    tokens: list[str], merges: list[str], split: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        MergesTokenizer(tokens, merges, split=split)


def test_what_is_no_text_and_what_are_no_ids() -> None:
    for data in (1, None, ["a"], bytearray(b"a")):
        with pytest.raises(DTypeError, match="text or bytes are needed"):
            TOKENIZER.encode(data)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"id {TOKENIZER.vocab_size} at position 1"):
        TOKENIZER.decode([0, TOKENIZER.vocab_size])
    with pytest.raises(DTypeError, match="integers are needed"):
        TOKENIZER.decode([0.5])  # type: ignore[list-item]
    with pytest.raises(ShapeError, match="one sequence"):
        TOKENIZER.decode(np.zeros((1, 2), np.int64))
    assert TOKENIZER.decode([]) == b""
    assert TOKENIZER.encode("").shape == (0,)
    assert repr(learned("a|b")) == "MergesTokenizer(257 tokens, 1 merges, split='gpt-2')"
