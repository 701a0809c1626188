"""Baselines for language models on bytes: Witten-Bell n-grams, and xz given the training text."""

import lzma
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinytorch.errors import DataError

VOCABULARY = 256
LONGEST = 8  # a gram is packed into one uint64


@dataclass(frozen=True)
class _Counts:
    """Counts of the k-grams of a text, in order: the context in the high bytes, the next byte lowest."""

    grams: NDArray[np.uint64]  # distinct k-grams
    times: NDArray[np.int64]  # how often each occurs
    contexts: NDArray[np.uint64]  # distinct contexts of k - 1 bytes
    totals: NDArray[np.int64]  # how often each context is followed by a byte
    kinds: NDArray[np.int64]  # how many different bytes follow it


class NGram:
    """A byte n-gram model with Witten-Bell smoothing, interpolated down to the uniform distribution.

    With c the count of a gram, T(h) the number of different bytes seen after context h, and h' the context
    without its first byte:

        P(w | h) = (c(hw) + T(h) P(w | h')) / (c(h) + T(h))

    and P(w) of no context at all rests on 1/256 (Witten and Bell, 1991, "The zero-frequency problem"). A
    5-gram has a context of 4 bytes. Raises DataError for an order outside 1 to 8.

    >>> model = NGram(b"abababab", order=2)
    >>> int(model.distribution(b"a").argmax()) == ord("b")
    True
    """

    def __init__(self, text: bytes, order: int) -> None:
        if not 1 <= order <= LONGEST:
            raise DataError(f"NGram: order is {order}; it must be 1 to {LONGEST}")
        self.order = order
        self._counts = [_count(text, k) for k in range(1, order + 1)]

    @property
    def contexts(self) -> int:
        """How many different contexts it has, of all lengths."""
        return sum(len(counts.contexts) for counts in self._counts)

    def probabilities(self, text: bytes) -> NDArray[np.float64]:
        """Return the probability of each byte of a text given the bytes before it; shape (len(text),).

        The first bytes of the text have shorter contexts.
        """
        p = np.full(len(text), 1 / VOCABULARY)
        for k, counts in enumerate(self._counts, start=1):
            grams = _grams(text, k)
            p[k - 1 :] = _witten_bell(counts, grams >> np.uint64(8), grams, p[k - 1 :])
        return p

    def distribution(self, context: bytes) -> NDArray[np.float64]:
        """Return the probabilities of all 256 bytes after a context; shape (256,), sum 1."""
        p = np.full(VOCABULARY, 1 / VOCABULARY)
        following = np.arange(VOCABULARY, dtype=np.uint64)
        for k, counts in enumerate(self._counts[: len(context) + 1], start=1):
            packed = np.uint64(int.from_bytes(context[len(context) - k + 1 :], "big"))
            contexts = np.full(VOCABULARY, packed)
            p = _witten_bell(counts, contexts, contexts << np.uint64(8) | following, p)
        return p

    def likeliest(self, context: bytes) -> int:
        """Return the byte that most often followed the longest end of a context that the text has.

        Of bytes that followed as often it is the lowest; without any training text it is 0. It reads the
        counts of one order, where the largest of `distribution` mixes those of all.

        >>> chr(NGram(b"the thing, the other", order=4).likeliest(b"with the"))
        ' '
        """
        for length in range(min(self.order - 1, len(context)), -1, -1):
            contexts, best = self._followers[length]
            packed = np.uint64(int.from_bytes(context[len(context) - length :], "big"))
            at = contexts.searchsorted(packed)
            if at < len(contexts) and contexts[at] == packed:
                return int(best[at])
        return 0

    @cached_property
    def _followers(self) -> list[tuple[NDArray[np.uint64], NDArray[np.uint8]]]:
        """For each length of context all that there are, and the byte that followed each most often."""
        found = []
        for counts in self._counts:
            context = counts.grams >> np.uint64(8)
            often = np.lexsort((-counts.times, context))  # stable: of the same count, the lowest byte
            first = np.searchsorted(context, counts.contexts)
            found.append((counts.contexts, (counts.grams[often[first]] & np.uint64(255)).astype(np.uint8)))
        return found

    def bits_per_byte(self, text: bytes) -> float:
        """Return the mean of -log2 P over the bytes of a text, P being `probabilities(text)`.

        Raises DataError for an empty text.
        """
        if not text:
            raise DataError("NGram: the text to score is empty; give it at least one byte")
        return float(-np.log2(self.probabilities(text)).mean())


def bits_per_byte(train: bytes, test: bytes, order: int) -> float:
    """Return the bits per byte that a Witten-Bell n-gram of `train` needs for `test`.

    >>> round(bits_per_byte(b"", b"any", order=3), 3)
    8.0
    """
    return NGram(train, order).bits_per_byte(test)


def xz_bits_per_byte(train: bytes, test: bytes) -> float:
    """Return what `test` adds to the size of an xz file of `train`, in bits for each byte of `test`.

    The dictionary covers both texts, so that a match may reach back to the first byte. Raises DataError for
    an empty test text.

    >>> text = bytes(range(256)) * 4
    >>> xz_bits_per_byte(text, text) < 0.5
    True
    """
    if not test:
        raise DataError("xz: the text to score is empty; give it at least one byte")
    window = max(2**26, 2 ** (len(train) + len(test)).bit_length())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": min(window, 2**30)}]
    alone, both = (len(lzma.compress(text, filters=filters)) for text in (train, train + test))
    return 8 * (both - alone) / len(test)


def _grams(text: bytes, k: int) -> NDArray[np.uint64]:
    """Return all k-grams of a text in order, each packed into an integer with its last byte lowest."""
    data = np.frombuffer(text, dtype=np.uint8)
    count = max(0, len(data) - k + 1)
    packed = np.zeros(count, dtype=np.uint64)
    for i in range(k):
        packed <<= np.uint64(8)
        packed |= data[i : i + count]
    return packed


def _count(text: bytes, k: int) -> _Counts:
    grams, times = np.unique(_grams(text, k), return_counts=True)
    context = grams >> np.uint64(8)
    contexts, first, kinds = np.unique(context, return_index=True, return_counts=True)
    totals = np.add.reduceat(times, first) if len(first) else np.zeros(0, dtype=np.int64)
    return _Counts(grams, times, contexts, totals, kinds)


def _lookup(
    keys: NDArray[np.uint64], values: NDArray[np.int64], wanted: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return the values at the wanted keys, 0 where a key is absent; `keys` are sorted."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def _witten_bell(
    counts: _Counts, contexts: NDArray[np.uint64], grams: NDArray[np.uint64], lower: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mix the counts of one order with the probabilities of the order below."""
    times = _lookup(counts.grams, counts.times, grams)
    totals = _lookup(counts.contexts, counts.totals, contexts)
    kinds = _lookup(counts.contexts, counts.kinds, contexts)
    seen = totals > 0
    return np.where(seen, (times + kinds * lower) / np.maximum(totals + kinds, 1), lower)
