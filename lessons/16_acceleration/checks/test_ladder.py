"""Blocks: of matrices, of images as columns, of element-wise work."""

import numpy as np
import pytest
from helpers import graph_of, watched

from tinytorch.acceleration.blockwise import BLOCK, in_blocks
from tinytorch.acceleration.fused import Fused
from tinytorch.acceleration.ladder.convolution import im2col
from tinytorch.acceleration.ladder.matmul import blocked
from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.context import use_backend
from tinytorch.ops.conv import Conv2d
from tinytorch.ops.spec import Spec
from tinytorch.tensor import Tensor


def product(a, b):
    """a @ b in float64, without BLAS."""
    return np.einsum("ik,kj->ij", a.astype(np.float64), b.astype(np.float64), optimize=False)


# ---------------------------------------------------------------- blocked


@exercise("blocked")
@pytest.mark.parametrize(("n", "k", "m"), [(4, 4, 4), (7, 5, 9), (1, 6, 1), (3, 1, 8), (12, 10, 11)])
@pytest.mark.parametrize("tile", [1, 2, 4, 5, 64])
def test_a_product_in_tiles(rng, n, k, m, tile):
    a, b = rng.normal(size=(n, k)).astype(np.float32), rng.normal(size=(k, m)).astype(np.float32)
    expect.close("blocked(a, b, tile)", product(a, b), 1e-5, 1e-5, dtype=np.float32)


@exercise("blocked")
@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_a_product_of_nothing(shape):
    n, k, m = shape
    a, b = np.ones((n, k)), np.ones((k, m))
    expect.close("blocked(a, b, 2)", np.zeros((n, m)), 0, 0, dtype=np.float64)


@exercise("blocked")
def test_no_product_is_larger_than_a_tile(rng):
    for n, k, m in ((10, 9, 7), (4, 40, 4), (40, 4, 4), (4, 4, 40)):
        seen = []
        a, b = watched(seen, rng.normal(size=(n, k)), rng.normal(size=(k, m)))
        expect.close("np.asarray(blocked(a, b, 4))", product(np.asarray(a), np.asarray(b)), 1e-9, 1e-9)
        largest = max((side for shapes in seen for shape in shapes for side in shape), default=0)
        expect.true("largest <= 4", "tiles have at most 4 rows and columns", largest=largest)


@exercise("blocked")
def test_tiles_of_64_unless_told(rng):
    seen = []
    a, b = watched(seen, rng.normal(size=(70, 130)), rng.normal(size=(130, 65)))
    expect.close("np.asarray(blocked(a, b))", product(np.asarray(a), np.asarray(b)), 1e-9, 1e-9)
    sides = sorted({side for shapes in seen for shape in shapes for side in shape})
    expect.true("set(sides) <= {64, 6, 2, 1}", "tiles of 64, and what is left", sides=sides)


@exercise("blocked")
def test_factors_stay_as_they_are(rng):
    a, b = rng.normal(size=(5, 6)), rng.normal(size=(6, 5)).T.copy().T
    before = a.copy(), b.copy()
    expect.value("blocked(a, b, 2)")
    expect.equal("a, b", before)


@exercise("blocked")
def test_the_backend_blocked_multiplies_with_it(rng):
    a, b = Tensor(rng.normal(size=(2, 70, 3))), Tensor(rng.normal(size=(3, 65)))
    with use_backend("blocked"):
        expect.close("(a @ b).numpy()", a.numpy() @ b.numpy(), 1e-9, 1e-9)


# ---------------------------------------------------------------- im2col


def columns_of(x, kernel, stride, padding, dilation):
    """im2col by its definition, number by number, looked up in the image without padding."""
    n, c, height, width = x.shape
    oh, ow = (
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip((height, width), kernel, stride, padding, dilation, strict=True)
    )
    out = np.zeros((n, c * kernel[0] * kernel[1], oh * ow), x.dtype)
    for i, channel, u, v, y, z in np.ndindex(n, c, *kernel, oh, ow):
        row = y * stride[0] + u * dilation[0] - padding[0]
        column = z * stride[1] + v * dilation[1] - padding[1]
        if 0 <= row < height and 0 <= column < width:
            out[i, (channel * kernel[0] + u) * kernel[1] + v, y * ow + z] = x[i, channel, row, column]
    return out


@exercise("im2col")
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation"),
    [
        ((1, 1, 3, 3), (2, 2), (1, 1), (0, 0), (1, 1)),
        ((2, 3, 5, 4), (3, 2), (1, 1), (0, 0), (1, 1)),
        ((2, 2, 5, 6), (2, 3), (2, 3), (0, 0), (1, 1)),
        ((1, 2, 4, 3), (3, 3), (1, 1), (1, 2), (1, 1)),
        ((2, 1, 7, 6), (2, 3), (1, 2), (0, 1), (3, 2)),
        ((1, 2, 3, 5), (3, 5), (1, 1), (0, 0), (1, 1)),
        ((3, 2, 2, 2), (1, 1), (1, 1), (0, 0), (1, 1)),
    ],
)
def test_windows_as_columns(rng, shape, kernel, stride, padding, dilation):
    x = rng.normal(size=shape).astype(np.float32)
    want = columns_of(x, kernel, stride, padding, dilation)
    expect.close("im2col(x, kernel, stride, padding, dilation)", want, 0, 0, dtype=np.float32)


@exercise("im2col")
def test_stride_one_and_no_padding_unless_told(rng):
    x = rng.normal(size=(1, 2, 4, 5))
    want = columns_of(x, (2, 3), (1, 1), (0, 0), (1, 1))
    expect.close("im2col(x, (2, 3))", want, 0, 0, dtype=np.float64)


@exercise("im2col")
def test_columns_are_a_copy(rng):
    x = rng.normal(size=(1, 1, 2, 3))
    columns = expect.value("im2col(x, (1, 1))")
    before = x.copy()
    columns[...] = 7.0
    expect.equal("x", before)


@exercise("im2col")
def test_a_kernel_that_does_not_fit():
    x = np.ones((1, 1, 3, 3))
    expect.raises("im2col(x, (4, 2))", ShapeError, "im2col")


@exercise("im2col")
def test_a_convolution_is_one_product(rng):
    x, w = rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(4, 3, 3, 3))
    want = Conv2d(stride=(2, 1), padding=(1, 1)).forward(x, w)
    expect.close(
        "(w.reshape(4, -1) @ im2col(x, (3, 3), (2, 1), (1, 1))).reshape(2, 4, 3, 5)", want, 1e-9, 1e-9
    )


# ---------------------------------------------------------------- in_blocks


class Steps:
    """A kernel that notes the shapes of what it gets: relu(x * 2 + b), and x - b."""

    def __init__(self):
        self.seen = []

    def __call__(self, x, b):
        self.seen.append((np.shape(x), np.shape(b)))
        return [np.maximum(x * 2.0 + b, 0.0), x - b]

    def rows(self):
        return [x[0] for x, _ in self.seen]


@exercise("in_blocks")
@pytest.mark.parametrize(
    ("shape", "block", "rows"),
    [
        ((6, 2), 4, [2, 2, 2]),
        ((7, 2), 4, [2, 2, 2, 1]),
        ((5, 3), 4, [1, 1, 1, 1, 1]),
        ((5, 3), 2, [1, 1, 1, 1, 1]),
        ((4, 3), 100, [4]),
        ((7,), 3, [3, 3, 1]),
        ((5, 2, 3), 12, [2, 2, 1]),
        ((3, 2, 2), 11, [2, 1]),
    ],
)
def test_whole_rows_as_a_block_holds(rng, shape, block, rows):
    x, b = rng.normal(size=shape), rng.normal(size=shape[1:])
    one, two, kernel = np.full(shape, np.nan), np.full(shape, np.nan), Steps()
    expect.value("in_blocks(kernel, [x, b], [one, two], block)")
    expect.close("one", np.maximum(x * 2.0 + b, 0.0), 1e-12, 1e-12)
    expect.close("two", x - b, 1e-12, 1e-12)
    expect.equal("kernel.rows()", rows)


@exercise("in_blocks")
@pytest.mark.parametrize("other", [(4,), (1, 4), (), (1,), (4, 1)])
def test_what_is_stretched_stays_whole(rng, other):
    x, b = rng.normal(size=(4, 4)), rng.normal(size=other)
    one, two, kernel = np.full((4, 4), np.nan), np.full((4, 4), np.nan), Steps()
    expect.value("in_blocks(kernel, [x, b], [one, two], 8)")
    expect.close("one", np.maximum(x * 2.0 + b, 0.0), 1e-12, 1e-12)
    expect.close("two", x - b, 1e-12, 1e-12)
    piece = (2, 1) if other == (4, 1) else other
    expect.equal("kernel.seen", [((2, 4), piece)] * 2)


@exercise("in_blocks")
def test_a_row_that_is_stretched(rng):
    x, b = rng.normal(size=(3,)), rng.normal(size=(5, 3))
    one, two, kernel = np.full((5, 3), np.nan), np.full((5, 3), np.nan), Steps()
    expect.value("in_blocks(kernel, [x, b], [one, two], 6)")
    expect.close("two", x - b, 1e-12, 1e-12)
    expect.equal("kernel.seen", [((3,), (2, 3)), ((3,), (2, 3)), ((3,), (1, 3))])


@exercise("in_blocks")
def test_one_result_and_three_operands(rng):
    x, y, out = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), np.full((5, 2), np.nan)
    expect.value("in_blocks(lambda x, y, n: [x * y + n], [x, y, np.array(3.0)], [out], 4)")
    expect.close("out", x * y + 3.0, 1e-12, 1e-12)


@exercise("in_blocks")
def test_no_rows_and_empty_rows():
    for shape in ((0, 3), (3, 0)):
        x = np.zeros(shape)
        one, two = np.zeros(shape), np.zeros(shape)
        expect.equal("in_blocks(Steps(), [x, x], [one, two], 4)", None)


@exercise("in_blocks")
def test_blocks_of_their_usual_size(rng):
    width = BLOCK // 8
    x = rng.normal(size=(20, width))
    one, two, kernel = np.empty_like(x), np.empty_like(x), Steps()
    expect.value("in_blocks(kernel, [x, x], [one, two])")
    expect.equal("kernel.rows()", [8, 8, 4])


@exercise("in_blocks")
def test_a_fused_op_runs_in_blocks(rng):
    graph = graph_of("a = x * y\nc = a + b\nd = c.relu()\nreturn d, a")
    bias = graph.inputs[2]
    specs = {v: s if v == bias else Spec((BLOCK, 3), s.dtype) for v, s in graph.specs.items()}
    op = Fused(tuple(graph.calls), graph.inputs, graph.outputs, specs)
    x, y = rng.normal(size=(2, BLOCK, 3)).astype(np.float32)
    b = rng.normal(size=3).astype(np.float32)
    want = (np.maximum(x * y + b, 0), x * y)
    expect.close("op.forward(x, y, b)", want, 1e-6, 1e-6, dtype=np.float32)
