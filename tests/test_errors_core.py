"""What a person sees who passes the wrong thing: one named error, one line with the values and the cure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from tinytorch import errors
from tinytorch.errors import DataError, DTypeError, GradientError, ShapeError, TinyTorchError
from tinytorch.ops.activation import gelu
from tinytorch.ops.attention import attention
from tinytorch.ops.base import Op
from tinytorch.ops.batchnorm import batch_norm
from tinytorch.ops.compare import where
from tinytorch.ops.context import observe, register_kernel, use_backend
from tinytorch.ops.conv import conv2d
from tinytorch.ops.matmul import linear
from tinytorch.ops.norm import layer_norm, rms_norm
from tinytorch.ops.pool import avg_pool2d, max_pool2d
from tinytorch.ops.shape import concat
from tinytorch.ops.softmax import cross_entropy, log_softmax, softmax
from tinytorch.tensor import Tensor, ones, zeros

LABELS = Tensor([0, 1, 2])
IMAGES = zeros(2, 3, 8, 8)

CASES: dict[str, tuple[type[TinyTorchError], str, Callable[[], Any]]] = {
    "add": (ShapeError, r"add: shapes \(3,\) and \(4,\).*axis -1.*\[3, 4\]", lambda: zeros(3) + zeros(4)),
    "matmul": (
        ShapeError,
        r"\(2, 3\) @ \(4, 3\): inner sizes 3 and 4.*w\.mT",
        lambda: zeros(2, 3) @ zeros(4, 3),
    ),
    "matmul of integers": (DTypeError, r"int64.*\.to", lambda: Tensor([[1]]) @ Tensor([[1]])),
    "matmul of two dtypes": (
        DTypeError,
        "float32 and float64",
        lambda: zeros(2, 2) @ zeros(2, 2, dtype="float64"),
    ),
    "linear": (ShapeError, "linear", lambda: linear(zeros(2, 3), zeros(5, 4), zeros(5))),
    "linear bias": (ShapeError, "bias", lambda: linear(zeros(2, 4), zeros(5, 4), zeros(4))),
    "reshape": (ShapeError, "6 elements", lambda: zeros(2, 3).reshape(4)),
    "concat": (ShapeError, "besides axis 0", lambda: concat([zeros(2, 3), zeros(2, 4)])),
    "mean of integers": (DTypeError, "float", lambda: Tensor([1, 2]).mean()),
    "where": (DTypeError, "!= 0", lambda: where(Tensor([1, 0]), 1.0, 2.0)),
    "take": (ShapeError, "from 3 to 3.*size 2", lambda: zeros(2)[Tensor([3])]),
    "softmax of integers": (DTypeError, "int64", lambda: softmax(Tensor([1, 2]))),
    "softmax of nothing": (ShapeError, "nothing along", lambda: softmax(zeros(3, 0))),
    "softmax axis": (ShapeError, "axis 2", lambda: log_softmax(zeros(2, 3), 2)),
    "softmax without axes": (ShapeError, "softmax", lambda: softmax(Tensor(1.0))),
    "label too large": (
        DataError,
        "label 5.*4 classes",
        lambda: cross_entropy(zeros(3, 4), Tensor([0, 1, 5])),
    ),
    "label negative": (DataError, "label -1", lambda: cross_entropy(zeros(3, 4), Tensor([0, -1, 2]))),
    "labels as floats": (DTypeError, "integers", lambda: cross_entropy(zeros(3, 4), zeros(3))),
    "logits and labels": (ShapeError, "reshape", lambda: cross_entropy(zeros(2, 4), LABELS)),
    "logits of rank 3": (ShapeError, "reshape", lambda: cross_entropy(zeros(1, 3, 4), LABELS)),
    "an empty batch": (DataError, "empty", lambda: cross_entropy(zeros(0, 4), Tensor(np.zeros(0, np.int64)))),
    "all ignored": (DataError, "ignored", lambda: cross_entropy(zeros(1, 4), Tensor([-100]))),
    "reduction": (DataError, "'average'", lambda: cross_entropy(zeros(3, 4), LABELS, reduction="average")),
    "label smoothing": (DataError, "1.5", lambda: cross_entropy(zeros(3, 4), LABELS, 1.5)),
    "layer_norm": (ShapeError, "layer_norm", lambda: layer_norm(zeros(2, 3), ones(4), zeros(4))),
    "rms_norm": (ShapeError, "rms_norm", lambda: rms_norm(zeros(2, 3), ones(4))),
    "gelu": (DataError, "'tan'", lambda: gelu(zeros(2), "tan")),
    "gelu of integers": (DTypeError, "gelu", lambda: gelu(Tensor([1]), "tanh")),
    "attention": (ShapeError, "attention", lambda: attention(zeros(2, 3, 4), zeros(2, 3, 4), zeros(2, 3, 4))),
    "attention features": (
        ShapeError,
        "4 features, keys 5",
        lambda: attention(zeros(1, 1, 2, 4), zeros(1, 1, 2, 5), zeros(1, 1, 2, 4)),
    ),
    "attention mask": (
        DTypeError,
        "may attend",
        lambda: attention(zeros(1, 1, 2, 4), zeros(1, 1, 2, 4), zeros(1, 1, 2, 4), ones(2, 2)),
    ),
    "conv2d channels": (ShapeError, "channels", lambda: conv2d(IMAGES, zeros(4, 1, 3, 3))),
    "conv2d channels last": (
        ShapeError,
        r"permute\(0, 3, 1, 2\)",
        lambda: conv2d(zeros(2, 8, 8, 3), zeros(4, 3, 3, 3)),
    ),
    "conv2d one image": (ShapeError, r"unsqueeze\(0\)", lambda: conv2d(zeros(3, 8, 8), zeros(4, 3, 3, 3))),
    "conv2d kernel": (ShapeError, "does not fit", lambda: conv2d(IMAGES, zeros(4, 3, 9, 9))),
    "conv2d bias": (ShapeError, "bias", lambda: conv2d(IMAGES, zeros(4, 3, 3, 3), zeros(3))),
    "conv2d groups": (ShapeError, "groups", lambda: conv2d(IMAGES, zeros(4, 3, 3, 3), groups=2)),
    "conv2d stride": (ShapeError, "stride is 0", lambda: conv2d(IMAGES, zeros(4, 3, 3, 3), stride=0)),
    "conv2d padding": (DTypeError, "'same'", lambda: conv2d(IMAGES, zeros(4, 3, 3, 3), padding="same")),  # type: ignore[arg-type]
    "max_pool2d": (ShapeError, "does not fit", lambda: max_pool2d(IMAGES, 9)),
    "avg_pool2d padding": (ShapeError, "half of the kernel", lambda: avg_pool2d(IMAGES, 2, padding=2)),
    "batch_norm": (ShapeError, "3 channels", lambda: batch_norm(IMAGES, ones(4), zeros(4), None, None, True)),
    "batch_norm of one": (
        ShapeError,
        "fewer than two",
        lambda: batch_norm(zeros(1, 3), None, None, None, None, True),
    ),
    "backward": (GradientError, r"\.sum\(\)", lambda: Tensor([1.0, 2.0], requires_grad=True).backward()),
}


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "watched"])
@pytest.mark.parametrize("name", CASES)
def test_one_named_error_of_one_line(name: str, watched: bool) -> None:
    kind, text, act = CASES[name]

    class Nobody:
        def on_op(self, event: Any) -> None: ...
        def on_exit(self, tensor: Tensor, how: str) -> None: ...

    with observe(Nobody()) if watched else nullcontext(), pytest.raises(kind, match=text) as caught:
        act()
    assert caught.type is kind
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_errors_are_also_what_python_would_raise() -> None:
    for name, builtin in {
        "ShapeError": ValueError,
        "DTypeError": TypeError,
        "GradientError": RuntimeError,
    }.items():
        error = getattr(errors, name)
        assert issubclass(error, TinyTorchError)
        assert issubclass(error, builtin)


def test_other_errors_inside_an_op_pass_through() -> None:
    class Broken(Op):
        numpy_checks = True

        def infer(self, a: Any) -> Any:
            return a

        def forward(self, a: Any) -> Any:
            raise ValueError("a bug of its own")

    with pytest.raises(ValueError, match="a bug of its own"):
        Broken()(zeros(2))


def test_a_backend_nobody_registered() -> None:
    with (
        pytest.raises(ValueError, match=r"'abacus' does not exist; there are: .*numpy"),
        use_backend("abacus"),
    ):
        pass


def test_a_backend_ends_with_an_error_inside() -> None:
    class Same(Op):
        def infer(self, a: Any) -> Any:
            return a

        def forward(self, a: Any) -> Any:
            return a * 1

    @register_kernel("errors-toy", Same)
    def twice(op: Op, a: Any) -> Any:
        return a * 2

    with use_backend("errors-toy"):
        assert Same()(ones(1)).item() == 2
    with pytest.raises(ShapeError), use_backend("errors-toy"):
        zeros(2) + zeros(3)
    assert Same()(ones(1)).item() == 1
