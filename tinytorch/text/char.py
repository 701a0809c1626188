"""A character tokenizer: one id for each character of the training text, by code point."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.errors import DataError
from tinytorch.text.common import Ids, check_ids, load_json, save_json


class CharTokenizer:
    """Characters to ids and back; `unk` stands for every character that is not in the vocabulary.

    >>> tokenizer = CharTokenizer.train("hello")
    >>> tokenizer.encode("hole")
    array([1, 3, 2, 0], dtype=int32)
    >>> tokenizer.decode([1, 0])
    'he'
    """

    def __init__(self, characters: str, unk: str | None = None) -> None:
        """Raises DataError when `characters` is empty or repeats one, or when `unk` is not one of them."""
        points = _points(characters)
        if not points.size:
            raise DataError("CharTokenizer: the vocabulary is empty; train it on some text")
        if np.any(np.diff(points.astype(np.int64)) <= 0):
            raise DataError(
                "CharTokenizer: the characters must be distinct and in the order of their code points"
            )
        if unk is not None and (len(unk) != 1 or unk not in characters):
            raise DataError(f"CharTokenizer: unk {unk!r} is not one character of the vocabulary")
        self.characters = characters
        self.unk = unk
        self._points = points

    @classmethod
    def train(cls, text: str, unk: str | None = None) -> CharTokenizer:
        """Return a tokenizer for the characters of `text`, with `unk` (one character) added if it is given.

        The vocabulary is every character once, in the order of code points.
        Raises DataError when there is no text.

        >>> CharTokenizer.train("abba", unk="?").decode([0, 1, 2])
        '?ab'
        """
        return cls("".join(sorted(set(text) | set(unk or ""))), unk)

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return len(self.characters)

    def encode(self, text: str) -> Ids:
        """Return the ids of `text`, places in `characters`: (characters,) int32.

        A character that is not in the vocabulary gets the id of `unk`. Where there is no `unk`, raises
        DataError, which names the first such character and its position.
        """
        points = _points(text)
        ids = np.minimum(np.searchsorted(self._points, points), self.vocab_size - 1)
        unknown = self._points[ids] != points
        if unknown.any():
            if self.unk is None:
                at = int(np.argmax(unknown))
                raise DataError(
                    f"encode: character {text[at]!r} at position {at} is not in the vocabulary of "
                    f"{self.vocab_size}; train on text that holds it, or with unk"
                )
            ids[unknown] = self.characters.index(self.unk)
        return ids.astype(np.int32)

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """Return the text of `ids`: (tokens,).

        Raises ShapeError, DTypeError or DataError for what are no ids.
        """
        points = self._points[check_ids(ids, self.vocab_size)]
        return points.tobytes().decode("utf-32-le", "surrogatepass")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file, whole or not at all."""
        save_json(path, "char", {"characters": self.characters, "unk": self.unk})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharTokenizer:
        """Return the tokenizer that `save` wrote; raises DataError for any other file."""
        content = load_json(path, "char", {"characters": str})
        unk = content.get("unk")
        if not isinstance(unk, str | None):
            raise DataError(f"{path}: unk is {unk!r}, neither a character nor null; the file is damaged")
        try:
            return cls(content["characters"], unk)
        except DataError as error:
            raise DataError(f"{path}: {error}; the file is damaged") from error

    def __repr__(self) -> str:
        return f"CharTokenizer(vocab_size={self.vocab_size}, unk={self.unk!r})"


def _points(text: str) -> npt.NDArray[np.uint32]:
    """The code points of `text`, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
