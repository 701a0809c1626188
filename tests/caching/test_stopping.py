"""Text as tokens come: characters cut in two, and stop strings wherever tokens have their borders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinytorch.caching.stopping import TextSoFar, _overlap


def told(tokens: Sequence[bytes], stops: Sequence[str] = ()) -> tuple[list[str], TextSoFar]:
    """The pieces that are given out for tokens, up to a stop, with what the end adds."""
    so_far = TextSoFar(lambda ids: b"".join(tokens[i] for i in ids), stops)
    pieces = []
    for i in range(len(tokens)):
        pieces.append(so_far.add(i))
        if so_far.stopped:
            break
    pieces.append(so_far.end())
    return pieces, so_far


def cut(raw: bytes, borders: Sequence[int]) -> list[bytes]:
    """Bytes as tokens."""
    at = [0, *sorted({b % (len(raw) + 1) for b in borders}), len(raw)]
    return [raw[a:b] for a, b in pairwise(at)]


def up_to(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """A text up to the stop that is complete first; of several that end there, the longest."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


BORDERS = st.lists(st.integers(0, 99), max_size=12)


@given(
    st.text("ab\u00e9\u4e2d", max_size=20),
    st.lists(st.text("ab\u00e9\u4e2d", min_size=1, max_size=4), max_size=3),
    BORDERS,
)
@example("baa", ["a", "baa"], [])
@example("baa", ["a", "baa"], [1, 2])
def test_text_is_the_same_wherever_tokens_have_their_borders(
    text: str, stops: list[str], borders: list[int]
) -> None:
    pieces, so_far = told(cut(text.encode(), borders), stops)
    expected, stopped = up_to(text, stops)
    assert "".join(pieces) == so_far.text == expected
    assert so_far.stopped == stopped


@given(st.binary(max_size=20), BORDERS)
def test_bytes_that_are_no_utf8_become_marks(raw: bytes, borders: list[int]) -> None:
    pieces, so_far = told(cut(raw, borders))
    assert "".join(pieces) == so_far.text == raw.decode("utf-8", "replace")


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=4))
def test_what_is_given_out_is_never_taken_back_and_no_more_is_held_than_must_be(text: str, stop: str) -> None:
    so_far, shown = TextSoFar(lambda ids: bytes(ids), [stop]), ""
    for i, byte in enumerate(text.encode()):
        shown += so_far.add(byte)
        if so_far.stopped:
            assert text[: i + 1].endswith(stop)
            break
        held = text[len(shown) : i + 1]
        assert stop.startswith(held)
        assert stop != held
        assert not any(stop.startswith(text[at : i + 1]) for at in range(len(shown)))
    assert shown == so_far.text


def test_nothing_comes_behind_a_stop() -> None:
    so_far = TextSoFar(lambda ids: bytes(ids), ["."])
    assert [so_far.add(b) for b in b"a.b"] == ["a", "", ""]
    assert so_far.end() == ""
    assert (so_far.text, so_far.stopped) == ("a", True)


def test_half_a_character_at_the_end_becomes_a_mark() -> None:
    pieces, so_far = told([b"a\xe4", b"\xb8"], ["ab"])
    assert pieces == ["", "", "a\ufffd"]
    assert so_far.text == "a\ufffd"


def test_a_stop_that_a_mark_at_the_end_completes() -> None:
    pieces, so_far = told([b"x", b"a\xe4"], ["a\ufffd"])
    assert ("".join(pieces), so_far.stopped) == ("x", True)


@pytest.mark.parametrize(
    ("text", "stop", "count"),
    [
        ("", "abc", 0),
        ("ab", "abc", 2),
        ("abc", "abc", 0),
        ("xaab", "aabaa", 3),
        ("aaa", "aaaa", 3),
        ("x", "y", 0),
    ],
)
def test_overlap(text: str, stop: str, count: int) -> None:
    assert _overlap(text, stop) == count
