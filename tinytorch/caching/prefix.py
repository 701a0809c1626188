"""Prompts of before and what was computed of them: one that begins alike starts there."""

from __future__ import annotations

from collections.abc import Sequence

from tinytorch.caching.kv_cache import KVCache


class PrefixCache:
    """The last `limit` texts, as tokens, with a fork of the cache that holds them.

    Forks share their pages, so that a beginning that many texts have in common is held once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: list[tuple[list[int], KVCache]] = []

    def __len__(self) -> int:
        return len(self._known)

    def find(self, prompt: Sequence[int]) -> tuple[KVCache | None, int]:
        """The cache that begins like a prompt for longest, and how many tokens of the prompt need not be fed.

        At least the last one must: its logits are wanted. A cache that has dropped positions serves only
        texts that go on where it ends.
        """
        best: tuple[KVCache | None, int] = None, 0
        for known, cache in self._known:
            count = min(common_length(known, prompt), len(prompt) - 1)
            whole = count == len(known)
            if count > best[1] and (whole or not cache.dropped.any()):
                best = cache, count
        return best

    def keep(self, ids: Sequence[int], cache: KVCache) -> None:
        """Remember a text and a fork of the cache that holds it; those that it begins with are forgotten."""
        if self.limit:
            text = list(ids)
            others = [entry for entry in self._known if common_length(entry[0], text) < len(entry[0])]
            twin = cache.fork()
            twin.truncate(len(text))  # it may hold what a draft or a filled up pass left behind the text
            self._known = [*others, (text, twin)][-self.limit :]

    def clear(self) -> None:
        """Forget all texts."""
        self._known = []


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many elements two sequences begin with alike.

    >>> common_length([1, 2, 3], [1, 2, 4, 5])
    2
    """
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
