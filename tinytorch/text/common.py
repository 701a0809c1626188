"""What the tokenizers share: ids as arrays, and small JSON files that are written whole or not at all."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tinytorch.errors import DataError, DTypeError, ShapeError

Ids: TypeAlias = npt.NDArray[np.int32]
VERSION = 1
LARGEST_FILE = 64 * 2**20  # bytes


def check_ids(ids: Sequence[int] | npt.NDArray[Any], vocab_size: int) -> npt.NDArray[np.int64]:
    """Return `ids` as an array: (tokens,) integers in 0 .. vocab_size - 1.

    An empty list is a sequence of no ids. Raises ShapeError, which names the shape, for what is not one
    sequence, DTypeError for what are no integers, and DataError, which names the first id out of range, its
    position and the largest id.

    >>> check_ids([3, 0], vocab_size=4)
    array([3, 0])
    """
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ShapeError(
            f"decode: ids have shape {array.shape}, but one sequence (tokens,) is needed; index a batch"
        )
    if array.size and array.dtype.kind not in "iu":
        raise DTypeError(f"decode: ids are {array.dtype}, but integers are needed")
    wrong = np.flatnonzero((array < 0) | (array >= vocab_size))
    if wrong.size:
        raise DataError(
            f"decode: id {array[wrong[0]]} at position {wrong[0]} is not in 0 .. {vocab_size - 1}"
        )
    return array.astype(np.int64)


def save_json(path: str | os.PathLike[str], kind: str, content: dict[str, Any]) -> None:
    """Write a tokenizer file; raises DataError, the old file being as it was, when that fails."""
    target = Path(path)
    text = json.dumps({"format": f"tinytorch-{kind}", "version": VERSION, **content})
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error.strerror}); what was there is unchanged"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_json(path: str | os.PathLike[str], kind: str, fields: dict[str, type]) -> dict[str, Any]:
    """Return the content of a tokenizer file; raises DataError if it is missing, damaged or foreign."""
    source = Path(path)
    try:
        size = source.stat().st_size
        if size > LARGEST_FILE:
            raise DataError(f"{source}: {size:,} bytes is no tokenizer file (at most {LARGEST_FILE:,})")
        content = json.loads(source.read_text(encoding="ascii"))
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{source}: not a tokenizer file, or cut off ({error})") from error
    expected = f"tinytorch-{kind}"
    if not isinstance(content, dict) or content.get("format") != expected:
        raise DataError(f"{source}: not a tokenizer file of format {expected!r}")
    if content.get("version") != VERSION:
        raise DataError(f"{source}: version {content.get('version')!r}, but this TinyTorch reads {VERSION}")
    for name, kind_of in fields.items():
        if not isinstance(content.get(name), kind_of):
            raise DataError(
                f"{source}: field {name!r} is missing or not of type {kind_of.__name__}; it is damaged"
            )
    return content
