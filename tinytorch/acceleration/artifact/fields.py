"""The fields of an op as JSON, and back: each field is checked against the type that its op declares."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from types import EllipsisType
from typing import Any, TypeAlias, get_type_hints

import numpy as np

from tinytorch.errors import ProgramError
from tinytorch.ops.base import Op
from tinytorch.ops.index import Key
from tinytorch.ops.spec import DTYPES, DType

Decoder: TypeAlias = Callable[[Any], Any]

MOST_BYTES = 8192
"""Of the fields of one op, as JSON."""
MOST_AXES = 32
_WORD = 2**63
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


# ---------------------------------------------------------------- to JSON


def encode_fields(op: Op) -> bytes:
    """The fields of an op as a JSON object, keys in order; raises ProgramError for what is not plain data.

    >>> from tinytorch.ops.index import Slice
    >>> encode_fields(Slice((..., slice(1, None), 0)))
    b'{"key":["...",[1,null,null],0]}'
    """
    return _dump({name: _plain(value) for name, value in vars(op).items()})


def _dump(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        value = float(value)
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if value is Ellipsis:
        return "..."
    if isinstance(value, slice):
        return [_plain(part) for part in (value.start, value.stop, value.step)]
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, np.dtype):
        return value.name
    raise ProgramError(
        f"a {type(value).__name__} is not plain data; fields are numbers, words and tuples of them"
    )


# ---------------------------------------------------------------- from JSON


def decode_op(kind: type[Op], raw: bytes) -> Op:
    """The op of this class with the fields in `raw`, as `encode_fields` wrote them.

    Raises ProgramError for a field that is missing, unknown, of another type or out of range, and for JSON
    in any other form than the one in which these fields are written.

    >>> from tinytorch.ops.reduce import Sum
    >>> decode_op(Sum, b'{"axis":[0,2],"keepdims":true}')
    Sum(axis=(0, 2), keepdims=True)
    """
    if len(raw) > MOST_BYTES:
        raise ProgramError(f"its fields take {len(raw):,} bytes, of at most {MOST_BYTES:,}")
    try:
        found = json.loads(raw)
        canonical = _dump(found) == raw
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"its fields are not JSON: {type(error).__name__}") from None
    declared = _schema(kind)
    if not isinstance(found, dict) or found.keys() != declared.keys():
        raise ProgramError(f"its fields are {_shown(found)}; expected {', '.join(declared) or 'none'}")
    if not canonical:  # a key twice, spaces, 1e0 for 1.0: a program has one form
        raise ProgramError("its fields are not in the form in which they are saved")
    values = {}
    for name, decode in declared.items():
        try:
            values[name] = decode(found[name])
        except ProgramError as error:
            raise ProgramError(f"field {name}: {error}") from None
    return kind(**values)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _refused(value: Any, expected: str) -> ProgramError:
    return ProgramError(f"{_shown(value)} is not {expected}")


def _integer(value: Any) -> int:
    if type(value) is not int or not -_WORD <= value < _WORD:
        raise _refused(value, "an integer of 64 bits")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _WORD:
        raise _refused(value, "an integer of 0 or more, of 64 bits")
    return value


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    return _integer(value)  # where a float is declared Python takes an int, and Clip keeps it exact


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refused(value, "true or false")
    return value


def _word(value: Any) -> str:
    if not isinstance(value, str) or not (value.isascii() and value.isidentifier()):
        raise _refused(value, "a word")
    return value


def _dtype(value: Any) -> DType:
    for dtype in DTYPES:
        if value == dtype.name:
            return dtype
    raise _refused(value, "a dtype")


def _tuple_of(decode: Decoder, length: int | None = None) -> Decoder:
    def decoded(value: Any) -> Any:
        if not isinstance(value, list) or len(value) > MOST_AXES or length not in (None, len(value)):
            raise _refused(value, f"a list of {f'at most {MOST_AXES}' if length is None else length}")
        return tuple(map(decode, value))

    return decoded


def _key(value: Any) -> Key:
    if not isinstance(value, list) or len(value) > 2 * MOST_AXES:
        raise _refused(value, f"a list of at most {2 * MOST_AXES} parts")
    return tuple(map(_part, value))


def _part(value: Any) -> int | slice | EllipsisType | None:
    if value is None:
        return None
    if value == "...":
        return Ellipsis
    if isinstance(value, list):
        if len(value) != 3 or value[2] == 0:
            raise _refused(value, "the start, stop and step (not 0) of a slice")
        return slice(*(None if bound is None else _integer(bound) for bound in value))
    if type(value) is int:
        return _integer(value)
    raise _refused(value, "an integer, a slice, null or ...")


def _optional_key(value: Any) -> Key | None:
    return None if value is None else _key(value)


_pair = _tuple_of(_size, 2)
_DECODERS: dict[Any, Decoder] = {
    int: _integer,
    float: _number,
    bool: _boolean,
    str: _word,
    DType: _dtype,
    np.dtype[Any]: _dtype,
    tuple[int, ...]: _tuple_of(_size),
    tuple[int, int]: _pair,
    tuple[float, float]: _tuple_of(_number, 2),
    tuple[tuple[int, int], ...]: _tuple_of(_pair),
    Key: _key,
    Key | None: _optional_key,
}


_SCHEMAS: dict[type[Op], dict[str, Decoder]] = {}
"""Of the ops that were met: to look at all of them takes longer than to read a program."""


def _schema(kind: type[Op]) -> dict[str, Decoder]:
    """How to read each field of an op, from the types that its class declares."""
    if kind not in _SCHEMAS:
        hints = get_type_hints(kind)
        declared: tuple[Field[Any], ...] = fields(kind) if is_dataclass(kind) else ()
        _SCHEMAS[kind] = {field.name: _DECODERS[hints[field.name]] for field in declared}
    return _SCHEMAS[kind]
