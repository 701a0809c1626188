"""What a Spec says of a tensor, and the rules for axes and dtypes."""

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.spec import (
    Spec,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    normalize_axis,
    require_float,
    result_type,
)

# ---------------------------------------------------------------- size and bytes


@exercise("Spec.size")
def test_size_is_the_product_of_the_sizes(rng):
    expect.equal("Spec((2, 3), float32).size", 6)
    expect.equal("Spec((7,), float32).size", 7)
    expect.equal("Spec((), float32).size", 1)
    expect.equal("Spec((5, 0, 2), float32).size", 0)
    shape = tuple(int(n) for n in rng.integers(1, 9, size=4))
    expect.equal("Spec(shape, int8).size", int(np.zeros(shape, np.int8).size))
    expect.equal("Spec((100_000, 100_000, 100_000), float32).size", 10**15)


@exercise("Spec.size", "Spec.nbytes")
def test_bytes_by_dtype(rng):
    expect.equal("Spec((2, 3), float32).nbytes", 24)
    expect.equal("Spec((2, 3), float64).nbytes", 48)
    expect.equal("Spec((2, 3), float16).nbytes", 12)
    expect.equal("Spec((5,), int8).nbytes", 5)
    expect.equal("Spec((5,), bool_).nbytes", 5)
    expect.equal("Spec((), int64).nbytes", 8)
    expect.equal("Spec((0, 3), int64).nbytes", 0)
    shape = tuple(int(n) for n in rng.integers(1, 9, size=3))
    expect.equal("Spec(shape, float32).nbytes", int(np.zeros(shape, np.float32).nbytes))


# ---------------------------------------------------------------- axes


@exercise("normalize_axis")
def test_axes_count_from_both_ends():
    expect.equal('normalize_axis("sum", 0, 3)', 0)
    expect.equal('normalize_axis("sum", 2, 3)', 2)
    expect.equal('normalize_axis("sum", -1, 3)', 2)
    expect.equal('normalize_axis("sum", -3, 3)', 0)
    expect.equal('normalize_axis("sum", -2, 5)', 3)
    expect.equal('normalize_axis("sum", 0, 1)', 0)


@exercise("normalize_axis")
def test_a_tensor_without_axes_takes_two():
    expect.equal('normalize_axis("sum", 0, 0)', 0)
    expect.equal('normalize_axis("sum", -1, 0)', 0)
    expect.raises('normalize_axis("sum", 1, 0)', ShapeError, "sum", "1", "0")
    expect.raises('normalize_axis("sum", -2, 0)', ShapeError, "sum", "-2", "0")


@exercise("normalize_axis")
def test_axes_that_are_not_there():
    expect.raises('normalize_axis("sum", 3, 3)', ShapeError, "sum", "3")
    expect.raises('normalize_axis("mean", -4, 3)', ShapeError, "mean", "-4", "3")
    expect.raises('normalize_axis("max", 17, 2)', ShapeError, "max", "17", "2")


# ---------------------------------------------------------------- dtypes


@exercise("result_type")
def test_the_highest_kind_wins():
    expect.equal("result_type(int64, float32)", np.dtype("float32"))
    expect.equal("result_type(float16, int64)", np.dtype("float16"))
    expect.equal("result_type(bool_, int8)", np.dtype("int8"))
    expect.equal("result_type(bool_, float16)", np.dtype("float16"))


@exercise("result_type")
def test_then_the_widest_of_that_kind():
    expect.equal("result_type(float32, float64)", np.dtype("float64"))
    expect.equal("result_type(int32, int8)", np.dtype("int32"))
    expect.equal("result_type(int64, float16, float32, bool_)", np.dtype("float32"))
    expect.equal("result_type(int8, bool_, int32, int8)", np.dtype("int32"))
    expect.equal("result_type(bool_)", np.dtype("bool"))


@exercise("require_float")
def test_floats_of_one_dtype_pass():
    expect.equal('require_float("linear", Spec((2,), float32))', None)
    expect.equal('require_float("linear", Spec((2,), float32), Spec((3, 4), float32))', None)
    expect.equal('require_float("add", Spec((), float16), Spec((), float16), Spec((1,), float16))', None)
    expect.equal('require_float("add", Spec((), float64), Spec((2,), float64))', None)


@exercise("require_float")
def test_other_kinds_are_refused_by_name():
    expect.raises('require_float("linear", Spec((2,), int64))', DTypeError, "linear", "int64")
    expect.raises('require_float("norm", Spec((2,), float32), Spec((2,), int8))', DTypeError, "norm", "int8")
    expect.raises('require_float("norm", Spec((2,), bool_), Spec((2,), bool_))', DTypeError, "norm", "bool")


@exercise("require_float")
def test_dtypes_that_differ_are_both_named():
    expect.raises(
        'require_float("linear", Spec((2,), float32), Spec((2,), float64))',
        DTypeError,
        "linear", "float32", "float64",
    )  # fmt: skip
    expect.raises(
        'require_float("attn", Spec((2,), float16), Spec((2,), float16), Spec((2,), float32))',
        DTypeError,
        "attn", "float16", "float32",
    )  # fmt: skip
