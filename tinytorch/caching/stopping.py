"""Text out of tokens as they come: whole characters, and an end at a stop string wherever it begins."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence


class TextSoFar:
    """The text of the tokens so far; pieces of it are given out once no later token can take them back.

    A character may be cut in two by a token's border, and so may a stop string: what could be the beginning
    of one is held back. Bytes that are no UTF-8 become U+FFFD.

    >>> so_far = TextSoFar(lambda ids: bytes(ids), ["end"])
    >>> [so_far.add(byte) for byte in b"one, en"], so_far.add(ord("d")), so_far.text
    (['o', 'n', '', 'e,', ' ', '', ''], '', 'one, ')
    """

    def __init__(self, decode: Callable[[Sequence[int]], bytes], stops: Sequence[str] = ()) -> None:
        self.text, self.stopped = "", False
        self._decode, self._stops = decode, list(stops)
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def add(self, token: int) -> str:
        """Take one more token; returns the text that is sure now."""
        return self._sure(self._characters.decode(self._decode([token])))

    def end(self) -> str:
        """The rest, when no more tokens come."""
        rest = self._sure(self._characters.decode(b"", final=True))
        held, self._held = self._held, ""
        self.text += held
        return rest + held

    def _sure(self, more: str) -> str:
        if self.stopped:
            return ""
        self._held += more
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:  # the one that is complete first, so that it does not depend on where tokens end
            sure, self.stopped, self._held = self._held[: min(found)[1]], True, ""
        else:
            keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
            sure, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self.text += sure
        return sure


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of a stop string.

    >>> _overlap("xab", "abc")
    2
    """
    most = min(len(text), len(stop) - 1)
    return next((n for n in range(most, 0, -1) if text.endswith(stop[:n])), 0)
