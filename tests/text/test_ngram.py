"""N-gram and xz baselines: against a dict-based model with exact fractions, and the shipped figures."""

import lzma
import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.data import baselines, load
from tinytorch.errors import DataError
from tinytorch.text.ngram import NGram, bits_per_byte, xz_bits_per_byte


class Slow:
    """Witten-Bell as the definition says, one recursion a byte, in exact fractions."""

    def __init__(self, text, order):
        self.order = order
        self.followers = defaultdict(Counter)
        for k in range(order):
            for i in range(k, len(text)):
                self.followers[text[i - k : i]][text[i]] += 1

    def probability(self, context, byte):
        context = context[-(self.order - 1) :] if self.order > 1 else b""
        lower = self.probability_of_shorter(context, byte)
        counts = self.followers.get(context)
        if counts is None:
            return lower
        return (counts[byte] + len(counts) * lower) / Fraction(counts.total() + len(counts))

    def probability_of_shorter(self, context, byte):
        if not context:
            return Fraction(1, 256)
        shorter = Slow.__new__(Slow)
        shorter.order, shorter.followers = len(context), self.followers
        return shorter.probability(context[1:], byte)


texts = st.one_of(st.binary(max_size=60), st.text("ab\xff", max_size=80).map(lambda t: t.encode("latin-1")))


@given(train=texts, test=texts.filter(len), order=st.integers(1, 8))
@settings(deadline=None)
def test_against_exact_reference(train, test, order):
    slow = Slow(train, order)
    expected = [slow.probability(test[:i], test[i]) for i in range(len(test))]
    np.testing.assert_allclose(
        NGram(train, order).probabilities(test), [float(p) for p in expected], rtol=1e-12
    )
    bits = -sum(math.log2(p) for p in expected) / len(test)
    assert bits_per_byte(train, test, order) == pytest.approx(bits, rel=1e-9)


@given(train=texts, context=st.binary(max_size=5), order=st.integers(1, 6))
def test_distribution_sums_to_one_and_agrees_with_probabilities(train, context, order):
    model = NGram(train, order)
    p = model.distribution(context)
    assert p.shape == (256,)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert p.min() > 0
    for byte in (0, 97, 255):
        assert model.probabilities(context + bytes([byte]))[-1] == pytest.approx(p[byte], rel=1e-12)


@given(st.binary(max_size=60), st.binary(max_size=9), st.integers(1, 8))
def test_the_likeliest_byte_is_what_followed_most_often(train, context, order):
    expected = 0
    for length in range(min(order - 1, len(context)), -1, -1):
        end = context[len(context) - length :]
        after = [train[i + length] for i in range(len(train) - length) if train[i : i + length] == end]
        if after:
            expected = min(after, key=lambda byte: (-after.count(byte), byte))
            break
    assert NGram(train, order).likeliest(context) == expected


def test_hand_computed():
    # "aab" has c(a) = 2, N = 3, T = 2, so P(a) = (2 + 2/256) / 5; after a come a and b once each, T = 2.
    one = (2 + 2 / 256) / 5
    assert NGram(b"aab", 1).probabilities(b"a") == pytest.approx([one])
    assert NGram(b"aab", 2).probabilities(b"aa") == pytest.approx([one, (1 + 2 * one) / 4])


def test_without_training_text_each_byte_costs_eight_bits():
    assert bits_per_byte(b"", b"anything", 5) == pytest.approx(8)


def test_shipped_figures_are_those_of_the_data():
    train, test = load("pydocs", "train").text, load("pydocs", "test").text
    report = baselines()
    assert report["train_bytes"] == len(train)
    assert report["bytes"]["test"] == len(test)
    for order in (3, 5):
        assert bits_per_byte(train, test, order) == pytest.approx(report["test"][f"{order}-gram"], abs=1e-4)
    assert 2.7 < report["test"]["3-gram"] < 2.8
    assert 1.8 < report["test"]["5-gram"] < 1.9


def test_xz_counts_the_bytes_added():
    rng = np.random.default_rng(0)
    train, noise = rng.bytes(30_000), rng.bytes(10_000)
    assert xz_bits_per_byte(train, train[:10_000]) < 0.5
    assert xz_bits_per_byte(train, noise) == pytest.approx(8, abs=0.1)
    plain = 8 * (len(lzma.compress(train + noise)) - len(lzma.compress(train))) / len(noise)
    assert xz_bits_per_byte(train, noise) == pytest.approx(plain, abs=0.05)


def test_xz_dictionary_reaches_back_to_the_first_byte():
    """A match 10 MB back: preset 6, with its 8 MB window, would miss it."""
    first = np.random.default_rng(1).bytes(20_000)
    assert xz_bits_per_byte(first + bytes(10_000_000), first) < 0.1


def test_bad_input():
    for order in (0, 9):
        with pytest.raises(DataError, match="1 to 8"):
            NGram(b"abc", order)
    with pytest.raises(DataError, match="empty"):
        bits_per_byte(b"abc", b"", 2)
    with pytest.raises(DataError, match="empty"):
        xz_bits_per_byte(b"abc", b"")
