"""A byte-level BPE tokenizer whose tokens and merges come as text, as those of GPT-2 and its heirs do.

Each byte is written as a printable character: itself, where it has one in Latin-1, or one from U+0100 on.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.errors import DataError, DTypeError
from tinytorch.text.common import Ids, check_ids

_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'(?:[sdmt]|ll|ve|re))|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: Mapping[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "smollm": (r"[0-9]", _GPT2),
    "llama-bpe": (_LLAMA3,),
    "default": (_GPT2,),
}
"""How a text is cut into pieces, by the name that GGUF files have for it: patterns, one within the pieces of
the other, for text whose letters outside of ASCII have become `a`, and so on."""
WHOLE = ("llama-bpe",)
"""Splits of models for which a piece that is a token is that token, whatever merges would make of it."""
LONGEST = 4096
"""Characters of a piece that are merged as one: the cost of a piece grows faster than its length."""


_SHIFT = 32
"""Bits by which the left id of a pair is moved."""
_INSTEAD = "\ufffd".encode()
"""What stands for a byte without a token."""


def byte_characters() -> list[str]:
    """The character that each byte is written as.

    >>> byte_characters()[ord("A")], byte_characters()[ord(" ")]
    ('A', 'Ġ')
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = {byte: 256 + i for i, byte in enumerate(b for b in range(256) if b not in plain)}
    return [chr(others.get(byte, byte)) for byte in range(256)]


class _Classes(dict[int, str]):
    """For `str.translate`: characters outside of ASCII become one of their kind."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if code < 128:
            found = character
        elif character.isspace():
            found = "\t"
        else:
            found = {"L": "a", "N": "0"}.get(unicodedata.category(character)[0], "!")
        self[code] = found
        return found


_CLASSES = _Classes()


class MergesTokenizer:
    """Text to ids by merges, and back; `tokens[id]` is what an id is written as.

    `merges`: pairs of what is joined, "left right", the first learned first. `specials`: the ids of tokens
    that stand for themselves, such as the end of a text. Raises DataError for merges that make no token,
    tokens that come twice, and splits that are not known.

    >>> tokens = [*byte_characters(), "lo", "low"]
    >>> tokenizer = MergesTokenizer(tokens, ["l o", "lo w"])
    >>> tokenizer.encode("low!"), tokenizer.decode([257])
    (array([257,  33], dtype=int32), b'low')
    """

    def __init__(
        self, tokens: Sequence[str], merges: Sequence[str], specials: Sequence[int] = (), split: str = "gpt-2"
    ) -> None:
        if split not in SPLITS:
            raise DataError(
                f"tokenizer: pieces are cut as {split[:40]!r} says, which is not known: {', '.join(SPLITS)}"
            )
        self.tokens, self.split = list(tokens), split
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise DataError(f"tokenizer: {len(self.tokens) - len(self._ids)} of its tokens come twice")
        self._characters = byte_characters()
        self._bytes = {character: byte for byte, character in enumerate(self._characters)}
        self._of_byte = [self._ids.get(character) for character in self._characters]
        self.missing = [byte for byte, id in enumerate(self._of_byte) if id is None]
        """Bytes without a token: some files leave out those that no text should have."""
        self.specials = {self.tokens[i]: i for i in specials if 0 <= i < len(self.tokens)}
        self._patterns = [re.compile(pattern, re.ASCII) for pattern in SPLITS[split]]
        self._known: dict[str, list[int]] = {}
        self._pairs, self._ranks, self._made = self._sorted(merges)
        names = sorted(filter(None, self.specials), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names))) if names else None

    def _sorted(self, merges: Sequence[str]) -> tuple[array[int], array[int], array[int]]:
        """The merges as sorted pairs of ids, their ranks, and the ids that they make.

        Three arrays take a tenth of the memory of a dict.
        """
        pairs = np.empty((len(merges), 2), np.int64)
        for i, merge in enumerate(merges):
            left, _, right = merge.partition(" ")
            ids = [self._ids.get(part, -1) for part in (left, right, left + right)]
            if not left or not right or -1 in ids:
                raise DataError(f"tokenizer: merge {i}, {merge[:40]!r}, joins or makes no token")
            pairs[i] = ids[0] << _SHIFT | ids[1], ids[2]
        codes, first = np.unique(pairs[:, 0], return_index=True)
        arrays = codes, first, pairs[first, 1]
        return tuple(array("q", np.ascontiguousarray(a, np.int64).tobytes()) for a in arrays)  # type: ignore[return-value]

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return len(self.tokens)

    def encode(self, data: str | bytes, specials: bool = False) -> Ids:
        """The ids of a text, (tokens,) int32; bytes that are no UTF-8 become those of the bytes themselves.

        Special tokens in it are plain text unless `specials` says that they are meant. Raises DTypeError for
        what is neither text nor bytes.
        """
        if not isinstance(data, str | bytes):
            raise DTypeError(f"tokenizer: text or bytes are needed, not {type(data).__name__}")
        text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
        ids: list[int] = []
        for part, special in self._parts(text) if specials else [(text, None)]:
            for piece in self._pieces(part):
                ids += self._piece_ids(piece)
            if special is not None:
                ids.append(special)
        return np.array(ids, np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> bytes:
        """The bytes of ids: (tokens,); those of a special token are its name. Raises as `check_ids`."""
        return b"".join(map(self._bytes_of, check_ids(ids, self.vocab_size).tolist()))

    def decode_text(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """The text of ids, with U+FFFD where a character is cut in two or bytes are no UTF-8."""
        return self.decode(ids).decode("utf-8", "replace")

    def _bytes_of(self, id: int) -> bytes:
        token = self.tokens[id]
        known = [self._bytes.get(character) for character in token]
        if token in self.specials or None in known:
            return token.encode("utf-8", "replace")
        return bytes(byte for byte in known if byte is not None)

    def _parts(self, text: str) -> Iterator[tuple[str, int | None]]:
        """The text before each special token with its id, and what follows the last."""
        begin = 0
        for match in self._special.finditer(text) if self._special else ():
            yield text[begin : match.start()], self.specials[match.group()]
            begin = match.end()
        yield text[begin:], None

    def _pieces(self, text: str) -> Iterator[str]:
        """The pieces of a text within which merges happen."""
        spans = [(0, len(text))]
        classes = text.translate(_CLASSES)
        for pattern in self._patterns:
            spans = [span for begin, end in spans for span in _cut(pattern, classes, begin, end)]
        for begin, end in spans:
            for start in range(begin, end, LONGEST):
                yield text[start : min(end, start + LONGEST)]

    def _piece_ids(self, piece: str) -> list[int]:
        ids = self._known.get(piece)
        if ids is None:
            raw = piece.encode("utf-8", "surrogateescape" if _is_escaped(piece) else "surrogatepass")
            written = "".join(self._characters[byte] for byte in raw)
            whole = self._ids.get(written) if self.split in WHOLE else None
            ids = self._joined(raw) if whole is None else [whole]
            if len(self._known) < 1 << 16:
                self._known[piece] = ids
        return ids

    def _joined(self, raw: bytes) -> list[int]:
        """The ids of a piece by merges; a byte without a token is U+FFFD, as far as that has ids."""
        ids, run = list[int](), list[int]()
        for byte in raw:
            id = self._of_byte[byte]
            if id is None:
                instead = [i for b in _INSTEAD if (i := self._of_byte[b]) is not None]
                ids += self._merged(run) + self._merged(instead)
                run = []
            else:
                run.append(id)
        return ids + self._merged(run)

    def _place(self, left: int, right: int) -> int:
        """Where a pair stands among the merges; -1 if it is none."""
        code = left << _SHIFT | right
        at = bisect_left(self._pairs, code)
        return at if at < len(self._pairs) and self._pairs[at] == code else -1

    def _merged(self, ids: list[int]) -> list[int]:
        """The ids of a piece after all merges: the first learned goes first, everywhere in the piece."""
        never = len(self._ranks)
        while len(ids) > 1:
            places = [self._place(a, b) for a, b in pairwise(ids)]
            ranks = [self._ranks[at] if at >= 0 else never for at in places]
            best = min(ranks)
            if best == never:
                break
            joined, i = [], 0
            while i < len(ids):
                if i < len(ranks) and ranks[i] == best:
                    joined.append(self._made[places[i]])
                    i += 2
                else:
                    joined.append(ids[i])
                    i += 1
            ids = joined
        return ids

    def __repr__(self) -> str:
        return (
            f"MergesTokenizer({self.vocab_size:,} tokens, {len(self._ranks):,} merges, split={self.split!r})"
        )


def _cut(pattern: re.Pattern[str], text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of a span: what the pattern finds, and what lies between."""
    at = begin
    for match in pattern.finditer(text, begin, end):
        if match.start() > at:
            yield at, match.start()
        if match.end() > match.start():
            yield match.span()
        at = match.end()
    if at < end:
        yield at, end


def _is_escaped(piece: str) -> bool:
    """Whether what looks like half a surrogate pair stands for bytes that are no UTF-8."""
    return all(0xDC80 <= ord(c) <= 0xDCFF for c in piece if 0xD800 <= ord(c) <= 0xDFFF)
