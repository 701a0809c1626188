"""A byte-level BPE tokenizer: any bytes become ids and come back unchanged."""

from __future__ import annotations

import heapq
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tinytorch.errors import DataError, DTypeError
from tinytorch.text.common import Ids, check_ids, load_json, save_json

Pair: TypeAlias = tuple[int, int]

LONGEST = 64  # bytes in a piece, and so in a token: the cost of a piece grows with the square of its length
MOST_MERGES = 1_000_000
_CACHED = 1 << 17  # pieces whose ids are remembered

# The split of GPT-2 on bytes: contractions, words, numbers, the rest, white space; a space leads a piece.
# Bytes above 127 count as letters, so that a character of several bytes is not cut in two by its kind.
_PIECES = re.compile(
    rb"""'(?:[sdmt]|ll|ve|re)
    |\ ?[A-Za-z\x80-\xff]{1,63}
    |\ ?[0-9]{1,63}
    |\ ?[^\sA-Za-z0-9\x80-\xff]{1,63}
    |\s{1,64}(?!\S)
    |\s{1,64}""",
    re.VERBOSE,
)


class BPETokenizer:
    """Bytes to ids and back: 0..255 are the bytes, then one id a merge, then the special tokens.

    Sennrich et al., 2016, "Neural machine translation of rare words with subword units"; on bytes, with this
    split into pieces, Radford et al., 2019 (GPT-2).

    >>> tokenizer = BPETokenizer.train("low lower lowest", vocab_size=258)
    >>> tokenizer.encode("low")
    array([257], dtype=int32)
    >>> tokenizer.decode([257, 33])
    b'low!'

    `tokens[id]` are the bytes of an id; `ranks[left, right]` is the id that a learned pair becomes: the
    earlier it was learned, the smaller. `specials[text]` is the id of a special token.
    """

    def __init__(self, merges: Sequence[Pair] = (), specials: Sequence[str] = ()) -> None:
        """With no merges it is a byte tokenizer.

        Raises DataError for a merge that names an id not yet made, comes twice or makes a token of more than
        64 bytes, and for special tokens that are empty or come twice.
        """
        if len(merges) > MOST_MERGES:
            raise DataError(f"BPETokenizer: {len(merges):,} merges are more than {MOST_MERGES:,}")
        self.tokens = [bytes([byte]) for byte in range(256)]
        self.ranks: dict[Pair, int] = {}
        for left, right in merges:
            new = len(self.tokens)
            if not (0 <= left < new and 0 <= right < new):
                raise DataError(
                    f"BPETokenizer: merge {new - 256} joins {left} and {right}, but ids end at {new - 1}"
                )
            if (left, right) in self.ranks:
                raise DataError(f"BPETokenizer: merge {new - 256}, ({left}, {right}), comes twice")
            token = self.tokens[left] + self.tokens[right]
            if len(token) > LONGEST:
                raise DataError(
                    f"BPETokenizer: merge {new - 256} makes {len(token)} bytes, more than {LONGEST}"
                )
            self.ranks[left, right] = new
            self.tokens.append(token)
        self.specials = {text: len(self.tokens) + i for i, text in enumerate(specials)}
        if len(self.specials) != len(specials) or "" in self.specials:
            raise DataError(
                f"BPETokenizer: special tokens must be distinct and not empty, not {list(specials)}"
            )
        self.tokens += [_bytes(text) for text in specials]
        self._cache: dict[bytes, list[int]] = {}

    @classmethod
    def train(cls, text: str | bytes, vocab_size: int, specials: Sequence[str] = ()) -> BPETokenizer:
        """Merge the most frequent pair of neighbours in a piece until there are `vocab_size` ids.

        Among equally frequent pairs the one with the smallest ids (left, then right) goes first. Training
        stops early when no pair occurs twice. Raises DataError when `vocab_size` is less than bytes and
        specials need.

        >>> BPETokenizer.train("aaaa bbbb", vocab_size=260).merges
        [(97, 97), (98, 98)]
        """
        least = 256 + len(specials)
        if not least <= vocab_size <= least + MOST_MERGES:
            raise DataError(
                f"BPETokenizer.train: vocab_size {vocab_size} is not in {least} .. {least + MOST_MERGES}"
            )
        return cls(learn_merges(Counter(_PIECES.findall(_bytes(text))), vocab_size - least), specials)

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return len(self.tokens)

    @property
    def merges(self) -> list[Pair]:
        """The pairs in the order in which they are merged."""
        return list(self.ranks)

    def encode(self, data: str | bytes, specials: bool = False) -> Ids:
        """Return the ids of `data`: (tokens,) int32; text counts as UTF-8.

        Special tokens in `data` are plain text unless `specials` says that they are meant. Raises DTypeError
        for what is neither text nor bytes, DataError for text that has no UTF-8.

        >>> BPETokenizer(specials=["<end>"]).encode("ok<end>", specials=True)
        array([111, 107, 256], dtype=int32)
        """
        raw = _bytes(data)
        ids: list[int] = []
        for part, special in self.split_specials(raw) if specials else [(raw, None)]:
            for match in _PIECES.finditer(part):
                ids += self._remembered(match.group())
            if special is not None:
                ids.append(special)
        return np.array(ids, dtype=np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> bytes:
        """Return the bytes of `ids`: (tokens,); those of a special token are its text in UTF-8.

        Raises ShapeError, DTypeError or DataError for what are no ids.
        """
        return b"".join([self.tokens[i] for i in check_ids(ids, self.vocab_size).tolist()])

    def decode_text(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """Return the text of `ids`, with U+FFFD where a character is cut in two or bytes are no UTF-8."""
        return self.decode(ids).decode("utf-8", "replace")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write merges and special tokens to a JSON file, whole or not at all."""
        save_json(path, "bpe", {"merges": self.merges, "specials": list(self.specials)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BPETokenizer:
        """Return the tokenizer that `save` wrote; raises DataError for any other file."""
        content = load_json(path, "bpe", {"merges": list, "specials": list})
        for i, merge in enumerate(content["merges"]):
            if not (isinstance(merge, list) and len(merge) == 2 and all(type(part) is int for part in merge)):
                raise DataError(f"{path}: merge {i} is not a pair of ids; the file is damaged")
        if not all(isinstance(text, str) for text in content["specials"]):
            raise DataError(f"{path}: a special token is not text; the file is damaged")
        try:
            return cls([(left, right) for left, right in content["merges"]], content["specials"])
        except DataError as error:
            raise DataError(f"{path}: {error}; the file is damaged") from error

    def __repr__(self) -> str:
        return f"BPETokenizer(vocab_size={self.vocab_size}, specials={list(self.specials)})"

    def split_specials(self, raw: bytes) -> Iterator[tuple[bytes, int | None]]:
        """Yield (bytes before a special token, its id) for each one in `raw`, then (the rest, None).

        Where several special tokens begin at one place, the longest counts.

        >>> list(BPETokenizer(specials=["<s>"]).split_specials(b"a<s><s>b"))
        [(b'a', 256), (b'', 256), (b'b', None)]
        """
        begin = 0
        if self.specials:
            by_bytes = {_bytes(text): i for text, i in self.specials.items()}
            longest_first = sorted(by_bytes, key=len, reverse=True)
            for match in re.finditer(b"|".join(map(re.escape, longest_first)), raw):
                yield raw[begin : match.start()], by_bytes[match.group()]
                begin = match.end()
        yield raw[begin:], None

    def encode_piece(self, piece: bytes) -> list[int]:
        """Return the ids of one piece.

        They begin as its bytes; while two neighbours are a learned pair, the pair learned first is merged,
        everywhere in the piece.

        >>> BPETokenizer([(97, 98), (256, 99)]).encode_piece(b"abcab")
        [257, 256]
        """
        ids = list(piece)
        while len(ids) > 1:
            pair = min(pairwise(ids), key=lambda pair: self.ranks.get(pair, self.vocab_size))
            if pair not in self.ranks:
                break
            ids = merge(ids, pair, self.ranks[pair])
        return ids

    def _remembered(self, piece: bytes) -> list[int]:
        """The ids of a piece, kept for the next time: the same words come again and again."""
        ids = self._cache.get(piece)
        if ids is None:
            ids = self.encode_piece(piece)
            if len(self._cache) < _CACHED:
                self._cache[piece] = ids
        return ids


def _bytes(data: str | bytes) -> bytes:
    if isinstance(data, bytes):
        return data
    if not isinstance(data, str):
        raise DTypeError(f"BPETokenizer: text or bytes are needed, not {type(data).__name__}")
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"BPETokenizer: character {error.start} of the text is half a surrogate pair"
        ) from error


def merge(ids: list[int], pair: Pair, new: int) -> list[int]:
    """Return `ids` with `new` in place of each `pair` of neighbours, from left to right and without overlap.

    The list given stays as it is.

    >>> merge([1, 1, 1, 2], (1, 1), 9)
    [9, 1, 2]
    """
    merged: list[int] = []
    i, last = 0, len(ids) - 1
    while i <= last:
        if i < last and ids[i] == pair[0] and ids[i + 1] == pair[1]:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def count_pairs(words: Sequence[Sequence[int]], times: Sequence[int]) -> Counter[Pair]:
    """Return how often each pair of neighbouring ids occurs; word i stands for `times[i]` equal ones.

    >>> count_pairs([[1, 2, 1, 2], [2, 1]], [1, 10])
    Counter({(2, 1): 11, (1, 2): 2})
    """
    counts: Counter[Pair] = Counter()
    for word, number in zip(words, times, strict=True):
        for pair in pairwise(word):
            counts[pair] += number
    return counts


def learn_merges(pieces: Counter[bytes], count: int) -> list[Pair]:
    """Return at most `count` merges, in the order learned, from how often each piece of a text occurs.

    Each time the most frequent pair of neighbours within a piece becomes a new id, the next from 256 on, in
    all pieces; among equally frequent pairs the one with the smallest ids, left then right, goes first. It
    ends early when no pair occurs twice.

    >>> learn_merges(Counter({b"low": 2, b"ow": 1}), 2)
    [(111, 119), (108, 256)]
    """
    words, times = [list(piece) for piece in pieces], list(pieces.values())
    counts, holders = count_pairs(words, times), _holders(words)
    heap = [(-number, pair) for pair, number in counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < count:
        number, best = heapq.heappop(heap)
        if -number != counts[best]:
            continue  # an old count of this pair; its present one is in the heap too
        if -number < 2:
            break
        changed: set[Pair] = set()
        for i in holders.pop(best):
            before, words[i] = words[i], merge(words[i], best, 256 + len(merges))
            if len(words[i]) < len(before):
                changed |= _recount(before, words[i], times[i], counts)
                for pair in pairwise(words[i]):
                    holders[pair].add(i)
        merges.append(best)
        for pair in changed:
            if counts[pair] > 0:
                heapq.heappush(heap, (-counts[pair], pair))
    return merges


def _holders(words: Sequence[Sequence[int]]) -> defaultdict[Pair, set[int]]:
    """The words in which each pair occurs, so that a merge need look at no others."""
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for i, word in enumerate(words):
        for pair in pairwise(word):
            holders[pair].add(i)
    return holders


def _recount(before: list[int], after: list[int], number: int, counts: Counter[Pair]) -> set[Pair]:
    """Count the pairs of a word as it has become instead of those it had; returns all of them."""
    for pair in pairwise(before):
        counts[pair] -= number
    for pair in pairwise(after):
        counts[pair] += number
    return {*pairwise(before), *pairwise(after)}
