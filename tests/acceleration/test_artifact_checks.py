"""Ops that could not run, or would read out of bounds, are refused before they do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.acceleration.artifact_files import Array, single
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.artifact.validate import outputs_of
from tinytorch.errors import ProgramError
from tinytorch.nn.embedding import Lookup
from tinytorch.ops.activation import GeluTanhGrad
from tinytorch.ops.arithmetic import Add, Clip, Div
from tinytorch.ops.attention import AttentionGrad
from tinytorch.ops.base import Op
from tinytorch.ops.batchnorm import BatchNormGrad
from tinytorch.ops.compare import Where
from tinytorch.ops.conv import Conv2d, Conv2dInputGrad, Conv2dWeightGrad
from tinytorch.ops.elementwise import ReluGrad
from tinytorch.ops.index import Assign, Gather, GatherGrad, Slice, SliceGrad, Take, TakeGrad
from tinytorch.ops.matmul import LinearInputGrad, LinearWeightGrad
from tinytorch.ops.norm import LayerNormGrad
from tinytorch.ops.pool import AvgPool2d, AvgPool2dGrad, MaxPool2d, MaxPool2dGrad, MaxPool2dPick
from tinytorch.ops.random import Uniform
from tinytorch.ops.reduce import ArgMax, Max, Sum
from tinytorch.ops.shape import Concat, Expand, Pad, Permute, Reshape
from tinytorch.ops.softmax import CrossEntropy, Softmax
from tinytorch.ops.sparse import LinearBlocked, LinearCSR
from tinytorch.ops.spec import DType, Spec, bool_, float32, float64, int8, int32, int64
from tinytorch.ops.update import AdamUpdate, GlobalNorm, ScaleAll, SGDUpdate


def s(*shape: int, dtype: DType = float32) -> Spec:
    return Spec(shape, dtype)


IMAGE, WEIGHT, OUT = s(2, 4, 6, 6), s(8, 2, 3, 3), s(2, 8, 4, 4)
GROUPS = {"groups": 2}
POOL = ((2, 2), (2, 2))
INDEX = s(1, 1, 2, 2, dtype=int8)
REFUSED: list[tuple[Op, list[Spec], str]] = [
    (Add(), [s(3), s(3, dtype=float64)], "one dtype"),
    (Add(), [s(3), s(4)], "broadcast"),
    (Add(), [s(3)], "inputs"),
    (Div(), [s(3, dtype=int64), s(3, dtype=int64)], "floating"),
    (Where(), [s(3, dtype=bool_), s(3), s(3, dtype=float64)], "one dtype"),
    (ReluGrad(), [s(3), s(3, dtype=float64)], "differ"),
    (ReluGrad(), [s(1), s(3)], "gradient"),
    (GeluTanhGrad(), [s(3), s(3), s(2)], "gradient"),
    (GeluTanhGrad(), [s(3, dtype=int32)] * 3, "floating"),
    (Clip(-1, 300), [s(3, dtype=int8)], "does not fit"),
    (Clip(math.nan, 3), [s(3, dtype=int32)], "does not fit"),
    (Clip(0, 1), [s(3, dtype=bool_)], "bool"),
    (Pad(((1, 1),), math.inf), [s(3, dtype=int32)], "does not fit"),
    (Sum((1, 0)), [s(3, 4)], "order"),
    (Sum((0, 0)), [s(3, 4)], "order"),
    (Sum((2,)), [s(3, 4)], "axis 2"),
    (Max((0,)), [s(0, 4)], "no elements"),
    (ArgMax((0, 1)), [s(3, 4)], "takes one"),
    (ArgMax(()), [s(3, 4)], "takes one"),
    (ArgMax((2,)), [s(3, 4)], "axis 2"),
    (Softmax(2), [s(3, 4)], "axis 2"),
    (Softmax(-1), [s(3, 4)], "axis -1"),
    (Concat(0), [], "joins nothing"),
    (Concat(2), [s(3, 4), s(3, 4)], "axis 2"),
    (Concat(-1), [s(3, 4), s(3, 4)], "axis -1"),
    (Reshape((3,)), [s(4)], "elements"),
    (Expand((3,)), [s(2)], "stretch|broadcast"),
    (Permute((0, 0)), [s(2, 2)], "once"),
    (LinearInputGrad(), [s(2, 5), s(4, 5)], "gradient"),
    (LinearInputGrad(), [s(2, 5), s(5)], "gradient"),
    (LinearInputGrad(), [s(), s(5, 4)], "gradient"),
    (LinearInputGrad(), [s(2, 5), s(5, 4, dtype=float64)], "differ"),
    (LinearWeightGrad(), [s(2, 5), s(3, 4)], "gradient"),
    (LinearWeightGrad(), [s(), s()], "gradient"),
    (LinearWeightGrad(), [s(2, 5), s(2, 4, dtype=float64)], "differ"),
    (Take(), [s(3), s(2)], "integers"),
    (Take(), [s(), s(2, dtype=int64)], "no rows"),
    (Lookup(), [s(3), s(2)], "integers"),
    (TakeGrad(3), [s(2, 4), s(2)], "indices of"),
    (TakeGrad(3), [s(2, 4), s(3, dtype=int64)], "rows"),
    (TakeGrad(0), [s(2, 4), s(2, dtype=int64)], "0 rows"),
    (TakeGrad(-1), [s(2, 4), s(2, dtype=int64)], "-1 rows"),
    (TakeGrad(-1), [s(0, 4), s(0, dtype=int64)], "-1 rows"),
    (Gather(2), [s(3, 4), s(3, 4, dtype=int64)], "axis 2"),
    (Gather(-1), [s(3, 4), s(3, 4, dtype=int64)], "axis -1"),
    (GatherGrad(0, 3), [s(3, 4), s(3, 4)], "indices of"),
    (GatherGrad(2, 3), [s(3, 4), s(3, 4, dtype=int64)], "axis 2"),
    (GatherGrad(0, 3), [s(3, 4), s(3, 3, dtype=int64)], "gradient"),
    (GatherGrad(0, 0), [s(3, 4), s(3, 4, dtype=int64)], "size 0"),
    (GatherGrad(0, -1), [s(0, 4), s(0, 4, dtype=int64)], "size -1"),
    (Slice((5,)), [s(3)], "5"),
    (SliceGrad((slice(0, 2),), (3,)), [s(3)], "part"),
    (SliceGrad((slice(0, 2),), (3,)), [s(1)], "part"),
    (SliceGrad((5,), (3,)), [s()], "5"),
    (Assign(), [s(3), s(3, dtype=float64)], "cast"),
    (Assign((slice(0, 2),)), [s(3), s(3)], "assign|broadcast"),
    (Conv2d((0, 1)), [IMAGE, s(8, 4, 3, 3)], "not from 1"),
    (Conv2d(dilation=(1, 0)), [IMAGE, s(8, 4, 3, 3)], "not from 1"),
    (Conv2d(padding=(-1, 0)), [IMAGE, s(8, 4, 3, 3)], "not from 0"),
    (Conv2d((2**21, 1)), [IMAGE, s(8, 4, 3, 3)], "not from 1"),
    (Conv2d(groups=0), [IMAGE, s(8, 4, 3, 3)], "0 groups"),
    (Conv2d(groups=-2), [IMAGE, s(8, 2, 3, 3)], "-2 groups"),
    (Conv2d(), [IMAGE, s(8, 4, 3)], "four axes"),
    (Conv2d(), [s(0, 1, 600, 600), s(1, 1, 600, 600)], "600x600"),
    (Conv2dInputGrad(**GROUPS, size=(5, 6)), [OUT, WEIGHT], "outputs"),
    (Conv2dInputGrad(**GROUPS, size=(7, 6)), [OUT, WEIGHT], "outputs"),
    (Conv2dInputGrad(**GROUPS, size=(2, 6)), [OUT, WEIGHT], "does not fit"),
    (Conv2dInputGrad(**GROUPS, size=(6, 6)), [s(2, 6, 4, 4), WEIGHT], "outputs"),
    (Conv2dInputGrad(**GROUPS, size=(6, 6)), [s(2, 8, 9, 9), WEIGHT], "outputs"),
    (Conv2dInputGrad((0, 1), **GROUPS, size=(6, 6)), [OUT, WEIGHT], "not from 1"),
    (Conv2dInputGrad(**GROUPS, size=(6, 6)), [s(8, 4, 4), WEIGHT], "four axes"),
    (Conv2dInputGrad(**GROUPS, size=(6, 6)), [OUT, s(8, 2, 9)], "filters .* four axes"),
    (Conv2dWeightGrad(**GROUPS, kernel=(2, 3)), [OUT, IMAGE], "outputs"),
    (Conv2dWeightGrad(**GROUPS, kernel=(4, 3)), [OUT, IMAGE], "outputs"),
    (Conv2dWeightGrad(groups=3, kernel=(3, 3)), [OUT, IMAGE], "divide"),
    (Conv2dWeightGrad(**GROUPS, kernel=(3, 3)), [s(3, 8, 4, 4), IMAGE], "outputs"),
    (Conv2dWeightGrad(**GROUPS, kernel=(3, 3)), [s(2, 8, 9, 4), IMAGE], "outputs"),
    (Conv2dWeightGrad(**GROUPS, kernel=(0, 3)), [OUT, IMAGE], "not from 1"),
    (Conv2dWeightGrad(**GROUPS, kernel=(3, 3)), [s(8, 4, 4), IMAGE], "four axes"),
    (Conv2dWeightGrad(**GROUPS, kernel=(3, 3)), [s(2, 0, 4, 4), IMAGE], "no filters"),
    (Conv2dWeightGrad((1, -1), **GROUPS, kernel=(3, 3)), [OUT, IMAGE], "not from 1"),
    (MaxPool2d((0, 2), (2, 2)), [IMAGE], "not from 1"),
    (MaxPool2d((2, 2), (0, 2)), [IMAGE], "not from 1"),
    (AvgPool2d((600, 600), (1, 1)), [s(0, 1, 600, 600)], "600x600"),
    (AvgPool2d((2, 2), (2, 2), (-1, 0)), [IMAGE], "not from 0"),
    (MaxPool2dGrad(*POOL, size=(6, 4)), [s(1, 1, 2, 2), INDEX], "outputs"),
    (MaxPool2dGrad(*POOL, size=(4, 4)), [s(1, 1, 2, 2), s(1, 1, 2, 1, dtype=int8)], "outputs"),
    (MaxPool2dGrad(*POOL, size=(4, 4)), [s(1, 1, 2, 2), s(1, 1, 2, 2, dtype=int32)], "outputs"),
    (MaxPool2dGrad((2, 2), (0, 0), size=(4, 4)), [s(1, 1, 2, 2), INDEX], "not from 1"),
    (MaxPool2dPick(*POOL), [s(1, 1, 4, 6), INDEX], "outputs"),
    (MaxPool2dPick(*POOL), [s(1, 1, 4, 4), s(1, 1, 2, 2)], "outputs"),
    (AvgPool2dGrad(*POOL, size=(6, 4)), [s(1, 1, 2, 2)], "outputs"),
    (AvgPool2dGrad((2, 2), (0, 0), size=(4, 4)), [s(1, 1, 2, 2)], "not from 1"),
    (MaxPool2dPick((2, 2), (0, 0)), [s(1, 1, 4, 4), INDEX], "not from 1"),
    (LayerNormGrad(), [s(3, 4), s(3, 4), s(4), s(2, 1), s(3, 1)], "outputs"),
    (LayerNormGrad(), [s(3, 5), s(3, 4), s(4), s(3, 1), s(3, 1)], "outputs"),
    (LayerNormGrad(), [s(3, 4), s(3, 4), s(3), s(3, 1), s(3, 1)], "end like"),
    (BatchNormGrad(), [s(3, 2), s(3, 2), s(2), s(3), s(2)], "outputs"),
    (
        AttentionGrad(1.0),
        [s(1, 1, 2, 4), s(1, 1, 2, 4), s(1, 1, 3, 4), s(1, 1, 3, 4), s(1, 1, 2, 2)],
        "outputs",
    ),
    (
        AttentionGrad(1.0),
        [s(1, 1, 9, 4), s(1, 1, 2, 4), s(1, 1, 3, 4), s(1, 1, 3, 4), s(1, 1, 2, 3)],
        "outputs",
    ),
    (CrossEntropy(1.5), [s(3, 4), s(3, dtype=int64)], "label_smoothing"),
    (CrossEntropy(math.nan), [s(3, 4), s(3, dtype=int64)], "label_smoothing"),
    (CrossEntropy(reduction="max"), [s(3, 4), s(3, dtype=int64)], "reduction"),
    (SGDUpdate(1), [s(dtype=float64), s(3)], "expected 3"),
    (SGDUpdate(1, 0.9), [s(dtype=float64), s(3), s(3)], "expected 4"),
    (SGDUpdate(1), [s(dtype=float64), s(3), s(4)], "parameter"),
    (SGDUpdate(1), [s(1), s(3), s(3)], "learning rate"),
    (SGDUpdate(0), [s(dtype=float64)], "0 tensors"),
    (SGDUpdate(-1), [s(dtype=float64), s(3), s(3)], "-1 tensors"),
    (SGDUpdate(2**62), [s(dtype=float64), s(3), s(3)], "expected"),
    (SGDUpdate(1, math.nan), [s(dtype=float64), s(3), s(3), s(3)], "finite"),
    (AdamUpdate(1), [s(dtype=float64), *[s(3)] * 4], "expected 6"),
    (AdamUpdate(1), [s(dtype=float64), *[s(3)] * 4, s()], "step"),
    (AdamUpdate(2**62), [s(dtype=float64), *[s(3)] * 4, s(dtype=int64)], "expected"),
    (AdamUpdate(1, (0.9, 1.0)), [s(dtype=float64), *[s(3)] * 4, s(dtype=int64)], "betas"),
    (AdamUpdate(1, (0.9, math.nan)), [s(dtype=float64), *[s(3)] * 4, s(dtype=int64)], "betas"),
    (AdamUpdate(1, eps=math.inf), [s(dtype=float64), *[s(3)] * 4, s(dtype=int64)], "finite"),
    (GlobalNorm(), [], "nothing"),
    (ScaleAll(1), [s()], "expected 2"),
    (ScaleAll(0), [s()], "0 tensors"),
    (LinearCSR(), [s(2, 3), s(4, 8), s(4, dtype=int32), s(3, dtype=int32)], "one axis"),
    (LinearCSR(), [s(2, 3), s(4), s(5, dtype=int32), s(3, dtype=int32)], "a column for each"),
    (LinearCSR(), [s(2, 3), s(4), s(4, dtype=int64), s(3, dtype=int32)], "columns is int64"),
    (LinearCSR(), [s(2, 3), s(4), s(4, dtype=int32), s(3)], "starts is float32"),
    (LinearCSR(), [s(2, 3), s(4), s(4, dtype=int32), s(0, dtype=int32)], "one more than"),
    (LinearCSR(), [s(), s(4), s(4, dtype=int32), s(3, dtype=int32)], "no axes"),
    (LinearCSR(), [s(2, 3), s(4, dtype=float64), s(4, dtype=int32), s(3, dtype=int32)], "differ"),
    (LinearCSR(), [s(2, 3), s(4), s(4, dtype=int32), s(3, dtype=int32), s(3)], "bias"),
    (LinearBlocked(16), [s(2, 3), s(4), s(4, dtype=int32), s(3, dtype=int32)], "blocks, 8"),
    (LinearBlocked(17), [s(2, 3), s(4, 8), s(4, dtype=int32), s(3, dtype=int32)], "17 outputs"),
    (LinearBlocked(8), [s(2, 3), s(4, 8), s(4, dtype=int32), s(3, dtype=int32)], "8 outputs"),
    (LinearBlocked(-7), [s(2, 3), s(0, 8), s(0, dtype=int32), s(1, dtype=int32)], "-7 outputs"),
    (LinearBlocked(9), [s(2, 3), s(4, 8), s(4, dtype=int32), s(3, dtype=int32), s(16)], "bias"),
    (Uniform((2,), int32), [s(2, dtype=int64)], "float32 or float64"),
    (Uniform((2,), float32), [s(3, dtype=int64)], "state"),
]


@pytest.mark.parametrize(
    ("op", "specs", "text"), REFUSED, ids=[f"{type(op).__name__}-{text}" for op, _, text in REFUSED]
)
def test_what_would_fail_or_read_out_of_bounds_is_refused(op: Op, specs: list[Spec], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        outputs_of(op, specs)


# ---------------------------------------------------------------- indices that are in the file


def ids(*values: int) -> Array:
    return np.array(values)


PARAMETER = [s(dtype=float64), *[s(3)] * 4, s(dtype=int64)]
ROWS = [s(2, 3), s(2), s(2, dtype=int32), s(3, dtype=int32)]
BLOCKS = [s(2, 3), s(2, 8), s(2, dtype=int32), s(3, dtype=int32)]
BOUNDED: list[tuple[Op, list[Spec], int, Array, bool]] = [
    (Take(), [s(3), s(2, dtype=int64)], 1, ids(-3, 2), True),
    (Take(), [s(3), s(2, dtype=int64)], 1, ids(0, 3), False),
    (Take(), [s(3), s(2, dtype=int64)], 1, ids(-4, 0), False),
    (Lookup(), [s(3), s(2, dtype=int64)], 1, ids(0, 2), True),
    (Lookup(), [s(3), s(2, dtype=int64)], 1, ids(-1, 2), False),
    (Lookup(), [s(3), s(2, dtype=int64)], 1, ids(0, 3), False),
    (TakeGrad(3), [s(2), s(2, dtype=int64)], 1, ids(0, 2), True),
    (TakeGrad(3), [s(2), s(2, dtype=int64)], 1, ids(0, 3), False),
    (Gather(0), [s(3), s(2, dtype=int64)], 1, ids(-3, 2), True),
    (Gather(0), [s(3), s(2, dtype=int64)], 1, ids(0, 3), False),
    (GatherGrad(0, 3), [s(2), s(2, dtype=int64)], 1, ids(-3, 2), True),
    (GatherGrad(0, 3), [s(2), s(2, dtype=int64)], 1, ids(-4, 2), False),
    (CrossEntropy(), [s(2, 3), s(2, dtype=int64)], 1, ids(2, -100), True),
    (CrossEntropy(), [s(2, 3), s(2, dtype=int64)], 1, ids(3, -100), False),
    (CrossEntropy(), [s(2, 3), s(2, dtype=int64)], 1, ids(0, -1), False),
    (MaxPool2dGrad(*POOL, size=(2, 4)), [s(1, 1, 1, 2), s(1, 1, 1, 2, dtype=int8)], 1, ids(0, 3), True),
    (MaxPool2dGrad(*POOL, size=(2, 4)), [s(1, 1, 1, 2), s(1, 1, 1, 2, dtype=int8)], 1, ids(0, 4), False),
    (LinearCSR(), ROWS, 2, ids(0, 2), True),
    (LinearCSR(), ROWS, 2, ids(0, 3), False),
    (LinearCSR(), ROWS, 2, ids(-1, 0), False),
    (LinearBlocked(16), BLOCKS, 2, ids(2, 0), True),
    (LinearBlocked(16), BLOCKS, 2, ids(3, 0), False),
    (LinearBlocked(16), BLOCKS, 2, ids(0, -(2**31)), False),
    (AdamUpdate(1), PARAMETER, 5, np.array(0), True),
    (AdamUpdate(1), PARAMETER, 5, np.array(-1), False),
]


@pytest.mark.parametrize(("op", "specs", "at", "values", "fits"), BOUNDED)
def test_indices_in_a_file_are_in_range(
    op: Op, specs: list[Spec], at: int, values: Array, fits: bool
) -> None:
    graph = single(op, specs, {at: values.astype(specs[at].dtype).reshape(specs[at].shape)})
    if fits:
        as_bytes(graph)
    else:
        with pytest.raises(ProgramError, match="indices from"):
            as_bytes(graph)


@pytest.mark.parametrize(("op", "specs"), [(LinearCSR(), ROWS), (LinearBlocked(16), BLOCKS)])
@pytest.mark.parametrize(
    ("starts", "text"),
    [
        ((0, 1, 2), ""),
        ((0, 0, 2), ""),
        ((0, 2, 2), ""),
        ((0, 1, 3), "from 0 to 3; expected 0 to 2"),
        ((0, 1, 1), "from 0 to 1; expected 0 to 2"),
        ((1, 1, 2), "from 1 to 2; expected 0 to 2"),
        ((0, 3, 2), r"starts\[2\] is 2, below starts\[1\] = 3"),
        ((0, -1, 2), r"starts\[1\] is -1, below starts\[0\] = 0"),
        ((0, -(2**31), 2), "below"),
    ],
)
def test_starts_in_a_file_lead_through_what_is_stored(
    op: Op, specs: list[Spec], starts: tuple[int, ...], text: str
) -> None:
    graph = single(op, specs, {3: np.array(starts, np.int32)})
    if not text:
        as_bytes(graph)
    else:
        with pytest.raises(ProgramError, match=text):
            as_bytes(graph)
