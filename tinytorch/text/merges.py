"""A byte-level BPE tokenizer whose tokens and merges come as text, as those of GPT-2 and its heirs do.

Each byte is written as a printable character: itself, where it has one in Latin-1, or one from U+0100 on.
"""

from __future__ import annotations

import re
import unicodedata
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
LONGEST = 4096
"""Characters of a piece that are merged as one: the cost of a piece grows faster than its length."""


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
                f"tokenizer: pieces are cut as {split!r} says, which is not known: {', '.join(SPLITS)}"
            )
        self.tokens, self.split = list(tokens), split
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        self._ranks = {merge: i for i, merge in enumerate(merges)}
        self._bytes = {character: byte for byte, character in enumerate(byte_characters())}
        self._characters = byte_characters()
        self.specials = {self.tokens[i]: i for i in specials if 0 <= i < len(self.tokens)}
        self._patterns = [re.compile(pattern, re.ASCII) for pattern in SPLITS[split]]
        self._known: dict[str, list[int]] = {}
        if len(self._ids) != len(self.tokens):
            raise DataError(f"tokenizer: {len(self.tokens) - len(self._ids)} of its tokens come twice")
        self.missing = [byte for byte, character in enumerate(self._characters) if character not in self._ids]
        """Bytes without a token: some files leave out those that no text should have."""
        for i, merge in enumerate(merges):
            left, space, right = merge.partition(" ")
            if not space or left + right not in self._ids:
                raise DataError(f"tokenizer: merge {i}, {merge[:40]!r}, makes no token")
        names = sorted(self.specials, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names))) if names and all(names) else None

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
            parts = self._merged([self._characters[byte] for byte in raw])
            ids = [i for part in parts for i in self._known_part(part)]
            if len(self._known) < 1 << 16:
                self._known[piece] = ids
        return ids

    def _known_part(self, part: str) -> list[int]:
        """The id of a part; a byte that has none becomes U+FFFD, as far as that has ids."""
        if part in self._ids:
            return [self._ids[part]]
        instead = [self._characters[byte] for byte in "\ufffd".encode()]
        return [self._ids[one] for one in self._merged(instead) if one in self._ids]

    def _merged(self, parts: list[str]) -> list[str]:
        """The parts of a piece after all merges: the first learned goes first, everywhere in the piece."""
        ranks, never = self._ranks, len(self._ranks)
        while len(parts) > 1:
            pairs = [ranks.get(f"{a} {b}", never) for a, b in pairwise(parts)]
            best = min(pairs)
            if best == never:
                break
            joined, i = [], 0
            while i < len(parts):
                if i < len(pairs) and pairs[i] == best:
                    joined.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    joined.append(parts[i])
                    i += 1
            parts = joined
        return parts

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
