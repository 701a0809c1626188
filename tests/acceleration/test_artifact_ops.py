"""Ops in program files: each one comes back as it was, and one that could not run is refused beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceleration.artifact_files import Array, load, single
from tests.ops import test_samples
from tests.ops.test_samples import Case, tuple_of
from tinytorch.acceleration.artifact.checks import scratch_bytes
from tinytorch.acceleration.artifact.fields import decode_op, encode_fields
from tinytorch.acceleration.artifact.registry import OPS
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.artifact.validate import outputs_of
from tinytorch.acceleration.interpret import interpret
from tinytorch.errors import DataError, ProgramError, ShapeError
from tinytorch.ops.arithmetic import Cast, Clip
from tinytorch.ops.base import Op
from tinytorch.ops.blocks import BlockLookup
from tinytorch.ops.conv import Conv2d
from tinytorch.ops.elementwise import Relu
from tinytorch.ops.index import Assign, Gather, Slice, SliceGrad, Take
from tinytorch.ops.paged import CacheWrite, PagedAttention
from tinytorch.ops.random import Uniform
from tinytorch.ops.reduce import Sum
from tinytorch.ops.rotary import Rotary
from tinytorch.ops.shape import Pad, Reshape
from tinytorch.ops.softmax import CrossEntropy, Softmax
from tinytorch.ops.sparse import Sparse
from tinytorch.ops.spec import DTYPES, Spec, float32
from tinytorch.ops.update import AdamUpdate

CASES = [case for case in test_samples.CASES if type(case.op) in OPS.values()]


def specs_of(arrays: list[Array]) -> list[Spec]:
    return [Spec(a.shape, a.dtype) for a in arrays]


# ---------------------------------------------------------------- there and back


def test_every_op_of_the_package_is_on_the_list() -> None:
    own = [op for op in test_samples.OPS if op.__module__.startswith(("tinytorch.ops.", "tinytorch.nn."))]
    in_no_file = {CacheWrite, PagedAttention}  # they read where tables of pages say
    assert set(OPS.values()) == set(own) - in_no_file
    assert len(OPS) == len(own) - len(in_no_file)
    assert all(kind().name == name for name, kind in OPS.items() if encode_or_none(kind) == b"{}")


def encode_or_none(kind: type[Op]) -> bytes | None:
    """The fields of an op without any; None for one that needs arguments."""
    try:
        return encode_fields(kind())
    except TypeError:
        return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_op_comes_back_as_it_was_and_computes_the_same_bits(case: Case, tmp_path: Path) -> None:
    arrays = case.arrays(float32)
    graph = single(case.op, specs_of(arrays))
    loaded = load(as_bytes(graph), tmp_path).graph
    assert loaded.calls[0].op == case.op or (type(loaded.calls[0].op) is type(case.op) and not vars(case.op))
    expected = [np.copy(a) for a in interpret(graph, arrays)]
    for found, wanted in zip(interpret(loaded, arrays), expected, strict=True):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        assert found.tobytes() == wanted.tobytes()
    op = case.op
    assert op.flops(*((out := op.infer(*specs_of(arrays))),), *specs_of(arrays)) is not None, out


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats()
SIZES = st.lists(st.integers(0, 2**63 - 1), max_size=6).map(tuple)
BOUNDS = st.none() | st.integers(-(2**63), 2**63 - 1)
STEPS = BOUNDS.filter(lambda step: step != 0)
KEYS = st.lists(st.just(...) | BOUNDS | st.builds(slice, BOUNDS, BOUNDS, STEPS), max_size=5).map(tuple)


@given(
    st.builds(Clip, NUMBERS, NUMBERS)
    | st.builds(Slice, KEYS)
    | st.builds(Assign, st.none() | KEYS)
    | st.builds(SliceGrad, KEYS, SIZES)
    | st.builds(Sum, SIZES, st.booleans())
    | st.builds(Uniform, SIZES, st.sampled_from(DTYPES))
    | st.builds(Pad, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))).map(tuple), NUMBERS)
    | st.builds(AdamUpdate, st.integers(0, 9), st.tuples(st.floats(), st.floats()), NUMBERS)
)
def test_fields_come_back_with_their_types(op: Op) -> None:
    back = decode_op(type(op), encode_fields(op))
    for name, value in vars(op).items():
        found = getattr(back, name)
        assert repr(found) == repr(value)  # repr: NaN equals NaN, -0.0 is not 0.0, 1 is not 1.0
        assert type(found) is type(value)


def test_numbers_of_numpy_become_python_s() -> None:
    op = Clip(np.float32(0.1), np.float64(np.inf))
    assert encode_fields(op) == b'{"high":"inf","low":0.10000000149011612}'
    assert encode_fields(Reshape((np.int64(2), 3))) == b'{"shape":[2,3]}'
    with pytest.raises(ProgramError, match="not plain data"):
        encode_fields(Clip(object(), 1.0))


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Sum, '{"axis":[0]}'),  # a field too few
        (Sum, '{"axis":[0],"keepdims":false,"more":1}'),
        (Sum, '{"axis":[0],"axis":[0],"keepdims":false}'),  # one twice
        (Sum, '{"axis":[0], "keepdims":false}'),
        (Sum, '{"keepdims":false,"axis":[0]}'),
        (Sum, '{"axis":0,"keepdims":false}'),
        (Sum, '{"axis":[-1],"keepdims":false}'),
        (Sum, '{"axis":[true],"keepdims":false}'),
        (Sum, '{"axis":[0.0],"keepdims":false}'),
        (Sum, '{"axis":[0],"keepdims":0}'),
        (Sum, '{"axis":["0"],"keepdims":false}'),
        (Sum, '{"axis":[9223372036854775808],"keepdims":false}'),
        (Sum, f'{{"axis":{list(range(33))},"keepdims":false}}'.replace(" ", "")),
        (Sum, "[" * 5000),
        (Sum, "[]"),
        (Sum, "null"),
        (Sum, '{"axis":[' + "9" * 5000 + '],"keepdims":false}'),
        (Softmax, '{"axis":true}'),
        (Softmax, '{"axis":null}'),
        (Clip, '{"high":NaN,"low":0.0}'),
        (Clip, '{"high":Infinity,"low":0.0}'),
        (Clip, '{"high":1e999,"low":0.0}'),
        (Clip, '{"high":1e0,"low":0.0}'),
        (Clip, '{"high":"1.0","low":0.0}'),
        (Clip, '{"high":true,"low":0.0}'),
        (Clip, '{"high":[],"low":0.0}'),
        (Cast, '{"dtype":"float128"}'),
        (Cast, '{"dtype":"object"}'),
        (Cast, '{"dtype":["float32"]}'),
        (Cast, '{"dtype":"f4"}'),
        (CrossEntropy, '{"ignore_index":-100,"label_smoothing":0.0,"reduction":"a b"}'),
        (CrossEntropy, '{"ignore_index":-100,"label_smoothing":0.0,"reduction":1}'),
        (Slice, '{"key":[true]}'),
        (Slice, '{"key":[1.5]}'),
        (Slice, '{"key":[[0,1]]}'),
        (Slice, '{"key":[[0,1,0]]}'),
        (Slice, '{"key":[[0,true,1]]}'),
        (Slice, '{"key":["…"]}'),
        (Slice, '{"key":null}'),
        (Slice, '{"key":[[[0],1,2]]}'),
        (Pad, '{"value":0.0,"widths":[[1]]}'),
        (Pad, '{"value":0.0,"widths":[1,1]}'),
        (Conv2d, '{"dilation":[1,1],"groups":1,"padding":[0,0,0],"stride":[1,1]}'),
        (Relu, '{"slope":0.1}'),
        (Relu, ""),
        (Relu, "{}" + " " * 9000),
        (Relu, "\ud800"),
    ],
)
def test_fields_of_another_type_or_form_are_refused(kind: type[Op], raw: str) -> None:
    with pytest.raises(ProgramError):
        decode_op(kind, raw.encode("utf-8", "surrogatepass"))


def test_fields_have_a_length_at_most() -> None:
    with pytest.raises(ProgramError, match="9,000 bytes, of at most 8,192"):
        decode_op(Relu, b" " * 9000)


# ---------------------------------------------------------------- what passes the checks can run


SMALL = st.sampled_from([0, 1, 2, 3, 5, -1, 2**19, 2**40])


@st.composite
def altered(draw: st.DrawFn, case: Case) -> tuple[dict[str, Any], list[Spec]]:
    """The fields of a case's op and the specs of its inputs, a few of them changed."""
    values = json.loads(encode_fields(case.op))
    specs = specs_of(case.arrays(float32))
    for _ in range(draw(st.integers(1, 3))):
        if values and draw(st.booleans()):
            name = draw(st.sampled_from(sorted(values)))
            values[name] = draw(_altered_field(values[name]))
        elif specs:
            at = draw(st.integers(0, len(specs) - 1))
            what = draw(st.sampled_from(["size", "axis", "dtype", "drop", "twice", "other"]))
            specs = _altered_specs(draw, specs, at, what)
    return values, specs


def _altered_field(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, list) and value:
        one = st.integers(0, len(value) - 1).flatmap(
            lambda i: _altered_field(value[i]).map(lambda new: [*value[:i], new, *value[i + 1 :]])
        )
        return one | st.just(value[1:]) | st.just([*value, value[0]])
    if isinstance(value, int):
        return SMALL
    return st.sampled_from(
        [None, 0.5, 2.0, "nan", "inf", "mean", "none", "int8", "float64", [0], [None, 2, 1]]
    )


def _altered_specs(draw: st.DrawFn, specs: list[Spec], at: int, what: str) -> list[Spec]:
    shape, dtype = list(specs[at].shape), specs[at].dtype
    if what == "drop":
        return specs[:at] + specs[at + 1 :]
    if what == "twice":
        return [*specs, specs[at]]
    if what == "dtype":
        dtype = draw(st.sampled_from(DTYPES))
    elif what == "other":
        shape = list(draw(st.sampled_from(specs)).shape)
    elif what == "axis":
        shape.insert(draw(st.integers(0, len(shape))), draw(st.integers(0, 3)))
    elif shape:
        shape[draw(st.integers(0, len(shape) - 1))] = draw(st.integers(0, 6))
    return [*specs[:at], Spec(tuple(shape), dtype), *specs[at + 1 :]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@settings(max_examples=25)
@given(data=st.data())
def test_an_op_that_is_let_through_runs_and_makes_what_was_promised(case: Case, data: st.DataObject) -> None:
    values, specs = data.draw(altered(case))
    try:
        op = decode_op(type(case.op), json.dumps(values, sort_keys=True, separators=(",", ":")).encode())
        outputs = outputs_of(op, specs)
    except ProgramError:
        return
    if max(*(spec.nbytes for spec in (*specs, *outputs)), scratch_bytes(op, *specs)) > 2**20:
        return
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.1, 0.9, spec.shape).astype(spec.dtype) for spec in specs]
    if isinstance(op, Sparse):
        arrays[3][-1] = len(arrays[1])  # all that is stored belongs to the last run
    try:
        with np.errstate(all="ignore"):
            found = tuple_of(op.forward(*arrays))
    except (ShapeError, DataError):  # an index out of range, no label that counts: told by name, at run time
        assert isinstance(op, Take | Gather | CrossEntropy | Sparse | BlockLookup | Rotary)
        return
    assert [Spec(np.shape(out), np.asarray(out).dtype) for out in found] == list(outputs)
    assert specs_of(arrays) == specs
