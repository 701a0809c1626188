"""How many windows fit an image, and what lies under each position of the kernel."""

import numpy as np
from helpers import counts

from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.window import count_windows, views
from tinytorch.tensor import Tensor


@exercise("count_windows")
def test_windows_that_touch_or_overlap():
    expect.equal('count_windows("conv2d", (5, 5), (3, 3), (1, 1), (0, 0))', (3, 3))
    expect.equal('count_windows("conv2d", (28, 28), (5, 5), (1, 1), (2, 2))', (28, 28))
    expect.equal('count_windows("conv2d", (224, 224), (7, 7), (2, 2), (3, 3))', (112, 112))
    expect.equal('count_windows("conv2d", (4, 4), (4, 4), (1, 1), (0, 0))', (1, 1))


@exercise("count_windows")
def test_rows_and_columns_have_their_own_sizes():
    expect.equal('count_windows("conv2d", [7, 10], (2, 3), (3, 2), (0, 1))', (2, 5))
    expect.equal('count_windows("pool", (9, 4), (1, 4), (4, 1), (2, 0))', (4, 1))


@exercise("count_windows")
def test_dilation_makes_the_reach_longer():
    expect.equal('count_windows("conv2d", (7, 7), (3, 3), (1, 1), (0, 0), (2, 3))', (3, 1))
    expect.equal('count_windows("conv2d", (7, 5), (1, 2), (2, 1), (0, 0), (9, 4))', (4, 1))


@exercise("count_windows")
def test_any_geometry(rng):
    kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, 4, 2)) for _ in range(3))
    padding = tuple(int(n) for n in rng.integers(0, 3, 2))
    image = tuple(int(n) for n in rng.integers(7, 12, 2))
    want = counts(image, kernel, stride, padding, dilation)
    expect.equal('count_windows("conv2d", image, kernel, stride, padding, dilation)', want)


@exercise("count_windows")
def test_a_kernel_that_does_not_fit():
    expect.raises(
        'count_windows("conv2d", (4, 9), (5, 3), (1, 1), (0, 0))', ShapeError, "conv2d", "5x3", "4x9"
    )
    expect.raises('count_windows("conv2d", (9, 4), (3, 5), (1, 1), (0, 0))', ShapeError, "3x5", "9x4")
    expect.raises(
        'count_windows("max_pool2d", (4, 4), (3, 3), (1, 1), (0, 0), (1, 2))', ShapeError, "max_pool2d"
    )
    expect.equal('count_windows("conv2d", (4, 4), (5, 5), (1, 1), (1, 1))', (2, 2))
    expect.equal('count_windows("conv2d", (4, 4), (6, 6), (1, 1), (1, 1))', (1, 1))
    expect.raises('count_windows("conv2d", (4, 4), (7, 6), (1, 1), (1, 1))', ShapeError, "7x6")


@exercise("count_windows")
def test_a_kernel_without_elements():
    expect.raises('count_windows("conv2d", (4, 4), (0, 2), (1, 1), (0, 0))', ShapeError, "0x2")
    expect.raises('count_windows("conv2d", (4, 4), (2, 0), (1, 1), (0, 0))', ShapeError, "2x0")


def looked_up(framed, counts, kernel, stride, dilation):
    """The definition, one element at a time."""
    found = []
    for i, j in np.ndindex(*kernel):
        view = np.zeros((*framed.shape[:2], *counts), framed.dtype)
        for y, x in np.ndindex(*counts):
            view[:, :, y, x] = framed[:, :, y * stride[0] + i * dilation[0], x * stride[1] + j * dilation[1]]
        found.append(view)
    return found


@exercise("views")
def test_positions_come_row_by_row():
    image = np.arange(12).reshape(1, 1, 3, 4)
    want = [[0, 1, 4, 5], [1, 2, 5, 6], [2, 3, 6, 7], [4, 5, 8, 9], [5, 6, 9, 10], [6, 7, 10, 11]]
    expect.equal("[view.ravel().tolist() for view in views(image, (2, 2), (2, 3), (1, 1))]", want)


@exercise("views")
def test_stride_and_dilation(rng):
    framed = rng.normal(size=(2, 3, 9, 11))
    want = looked_up(framed, (2, 4), (3, 2), (3, 2), (2, 4))
    expect.close("list(views(framed, (2, 4), (3, 2), (3, 2), (2, 4)))", want)
    want = looked_up(framed, (3, 5), (2, 3), (2, 1), (4, 3))
    expect.close("list(views(framed, (3, 5), (2, 3), (2, 1), (4, 3)))", want)


@exercise("views")
def test_only_as_many_windows_as_were_asked_for(rng):
    framed = rng.normal(size=(1, 2, 8, 8))
    want = looked_up(framed, (1, 2), (2, 2), (2, 3), (1, 1))
    expect.close("list(views(framed, (1, 2), (2, 2), (2, 3)))", want)


@exercise("views")
def test_views_are_not_copies():
    framed = np.zeros((1, 1, 4, 4))
    for view in expect.value("list(views(framed, (2, 2), (2, 2), (2, 2)))"):
        view += 1
    expect.close("framed", np.ones((1, 1, 4, 4)))
    for view in expect.value("list(views(framed, (3, 3), (2, 2), (1, 1)))"):
        view += 1
    want = np.array([[2, 3, 3, 2], [3, 5, 5, 3], [3, 5, 5, 3], [2, 3, 3, 2]])[None, None]
    expect.close("framed", want)


@exercise("views")
def test_tensors_can_be_looked_at_too(rng):
    array = rng.normal(size=(2, 1, 4, 5))
    image = Tensor(array)
    want = looked_up(array, (3, 2), (2, 2), (1, 2), (1, 2))
    expect.close("[view.numpy() for view in views(image, (3, 2), (2, 2), (1, 2), (1, 2))]", want)


@exercise("views")
def test_no_images():
    framed = np.zeros((0, 2, 3, 3))
    expect.equal("[view.shape for view in views(framed, (2, 2), (2, 2), (1, 1))]", [(0, 2, 2, 2)] * 4)
