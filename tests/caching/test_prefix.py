"""Prompts that begin like earlier ones: only the rest is fed, and the bits are those of the whole."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.caching.small import MODELS, gpt, text
from tinytorch.caching import Decoder, KVCache
from tinytorch.caching.prefix import PrefixCache, common_length
from tinytorch.ops.spec import Array


def cache(count: int = 0, window: int | None = None) -> KVCache:
    found = KVCache(1, 1, 2, 64, window=window, page=4, forks=8)
    for _ in range(count):
        found.reserve(1)
        found.advance(1)
    return found


@given(st.lists(st.integers(0, 2), max_size=8), st.lists(st.integers(0, 2), max_size=8))
def test_common_length(a: list[int], b: list[int]) -> None:
    expected = max(n for n in range(min(len(a), len(b)) + 1) if a[:n] == b[:n])
    assert common_length(a, b) == expected


def test_the_longest_beginning_is_found_and_one_token_is_left_to_feed() -> None:
    prefixes, held = PrefixCache(4), cache(6)
    for ids in ([1, 2, 3, 4, 5, 6], [1, 2, 9, 9, 9, 9]):
        prefixes.keep(ids, held)
    for prompt, count in (
        ([1, 2, 3, 7], 3),
        ([1, 2, 9], 2),
        ([1, 2, 9, 9, 0], 4),
        ([1, 2, 3, 4, 5, 6], 5),
        ([1, 2, 3, 4, 5, 6, 7], 6),
        ([1], 0),
        ([7, 1], 0),
    ):
        known, found = prefixes.find(prompt)
        assert found == count
        assert (known is None) == (count == 0)


def test_the_oldest_is_forgotten_and_its_pages_are_free() -> None:
    prefixes, held = PrefixCache(2), cache()
    for first in range(3):
        held.reset()
        for _ in range(5):
            held.reserve(1)
            held.advance(1)
        prefixes.keep([first, 1, 2, 3, 4], held)
    held.reset()
    gc.collect()
    assert len(prefixes) == 2
    assert prefixes.find([0, 1, 2])[1] == 0
    assert prefixes.find([1, 1, 2])[1] == 2
    assert held.pool.free == held.pool.pages - 4
    prefixes.clear()
    gc.collect()
    assert (len(prefixes), held.pool.free) == (0, held.pool.pages)


def test_a_text_takes_the_place_of_those_it_begins_with() -> None:
    prefixes = PrefixCache(3)
    for ids in ([1, 2], [5, 6], [1, 2, 3], [1, 2, 3]):
        prefixes.keep(ids, cache(len(ids)))
    assert len(prefixes) == 2
    assert prefixes.find([5, 6, 7])[1] == 2
    assert prefixes.find([1, 2, 3, 4])[1] == 3


def test_none_are_kept_where_the_limit_is_0() -> None:
    prefixes = PrefixCache(0)
    prefixes.keep([1, 2], cache(2))
    assert (len(prefixes), prefixes.find([1, 2, 3])) == (0, (None, 0))


def test_a_cache_that_holds_more_than_the_text_is_cut_to_it() -> None:
    prefixes, held = PrefixCache(2), cache(9)
    prefixes.keep([1, 2, 3], held)
    known, count = prefixes.find([1, 2, 3, 4])
    assert known is not None
    assert (count, known.length, held.length) == (3, 3, 9)


def test_what_a_window_dropped_serves_only_texts_that_go_on() -> None:
    prefixes, held = PrefixCache(2), cache(30, window=6)
    assert held.dropped.any()
    prefixes.keep(list(range(30)), held)
    assert prefixes.find([*range(29), 99, 100]) == (None, 0)
    assert prefixes.find(list(range(30)))[1] == 0
    assert prefixes.find([*range(30), 99])[1] == 30
    fresh = cache(5, window=6)
    prefixes.keep([7, 7, 7, 7, 7], fresh)
    assert prefixes.find([7, 7, 8, 8])[1] == 2


# ---------------------------------------------------------------- in a decoder


@pytest.mark.parametrize(("name", "window"), [("gpt", None), ("llama", 20)])
def test_a_second_prompt_feeds_the_rest_alone_and_gives_the_same_bits(name: str, window: int | None) -> None:
    sizes = {"page": 8, "fixed": True, "window": window, "capacity": 90}
    decoder = Decoder(MODELS[name](), prefixes=2, **sizes)
    fresh = Decoder(decoder.model, **sizes)
    begin = text(0, 18)
    prompts = [begin + text(1, 9), begin + text(2, 30), begin, begin + text(1, 12), text(3, 40)]
    reused = []
    for ids in prompts:
        found = decoder.start([ids])
        assert decoder.cache.length == len(ids)
        reused.append(decoder.reused)
        np.testing.assert_array_equal(found, fresh.start([ids]))
        decoder.remember(ids)
    assert reused == [0, 18, 17, 18, 0]
    more = prompts[-1] + text(4, 30)
    np.testing.assert_array_equal(decoder.start([more]), fresh.start([more]))
    assert decoder.reused == 40
    assert len(decoder.prefixes) == 2


def test_only_what_is_new_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, fed = Decoder(gpt(), prefixes=1, compiled=False, page=8), list[int]()
    eager = Decoder._eager

    def counting(self: Decoder, piece: Array, last: Array, every: bool) -> Array:
        fed.append(piece.shape[1])
        return eager(self, piece, last, every)

    monkeypatch.setattr(Decoder, "_eager", counting)
    ids = text(0, 30)
    decoder.start([ids])
    decoder.remember(ids)
    decoder.start([[*ids, 1, 2, 3]])
    assert fed == [30, 3]


def test_remembered_texts_and_a_whole_new_one_fit_the_pool() -> None:
    decoder = Decoder(gpt(context=32), prefixes=3, compiled=False, page=8)
    for seed in range(6):
        ids = text(seed, 32)
        decoder.start([ids])
        decoder.remember(ids)
    assert len(decoder.prefixes) == 3


def test_tokens_that_were_not_fed_yet_are_not_remembered() -> None:
    decoder = Decoder(gpt(), prefixes=1, compiled=False, page=8)
    decoder.start([[1, 2, 3]])
    decoder.remember([1, 2, 3, 4])
    decoder.start([[1, 2, 3, 4, 5]])
    assert decoder.reused == 3
