"""A slow BPE by definition, to compare with, and texts to try it on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Pair = tuple[int, int]

SAMPLE = (
    "It's the tokenizer's job: the 123 cats we've seen, they'll sit.\n\n"
    "    def merge(pairs):\n        return {pair: 1_000 for pair in pairs}\n"
    "na\u00efve caf\u00e9 \u2014 \u4e2d\u6587\u4e2d\u6587 \U0001f600\U0001f600 the the the aaaa aaaaaaa\t\r\n"
)


def replaced(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """`new` for each pair, from left to right, by recursion."""
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], new, *replaced(ids[i + 2 :], pair, new)]
    return list(ids)


def learned(pieces: dict[bytes, int], count: int) -> list[Pair]:
    """Merges by counting everything again, each occurrence of a piece by itself."""
    words = [list(piece) for piece, number in pieces.items() for _ in range(number)]
    merges: list[Pair] = []
    while len(merges) < count:
        counts: dict[Pair, int] = {}
        for word in words:
            for i in range(len(word) - 1):
                pair = word[i], word[i + 1]
                counts[pair] = counts.get(pair, 0) + 1
        if not counts or max(counts.values()) < 2:
            break
        best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[0][0]
        words = [replaced(word, best, 256 + len(merges)) for word in words]
        merges.append(best)
    return merges


def encoded(piece: bytes, merges: Sequence[Pair]) -> list[int]:
    """All merges, one after the other, in the order learned."""
    ids = list(piece)
    for new, pair in enumerate(merges, start=256):
        ids = replaced(ids, pair, new)
    return ids


def some_pieces(rng: Any, number: int = 12) -> dict[bytes, int]:
    """Short pieces of few letters, some of them often."""
    pieces: dict[bytes, int] = {}
    for _ in range(number):
        piece = bytes(rng.choice(list(b"abc"), size=int(rng.integers(1, 8))).astype("u1").tolist())
        pieces[piece] = pieces.get(piece, 0) + int(rng.integers(1, 4))
    return pieces
