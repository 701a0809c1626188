"""TinyTorch: machine learning in files that a person can read, measure and trust."""

from typing import TYPE_CHECKING, Any

from tinytorch import errors
from tinytorch.autograd import enable_grad, grad, gradcheck, no_grad
from tinytorch.ops.arithmetic import clip, maximum, minimum
from tinytorch.ops.compare import where
from tinytorch.ops.context import meta, observe, use_backend
from tinytorch.ops.elementwise import cos, erf, exp, log, relu, sigmoid, sin, sqrt, tanh
from tinytorch.ops.index import gather
from tinytorch.ops.matmul import matmul
from tinytorch.ops.reduce import argmax, mean, sum, var
from tinytorch.ops.shape import concat, pad, split, stack
from tinytorch.ops.softmax import log_softmax, softmax
from tinytorch.ops.spec import bool_ as bool
from tinytorch.ops.spec import float16, float32, float64, int8, int32, int64
from tinytorch.random import Generator, manual_seed, rand, randint, randn, randperm
from tinytorch.tensor import Tensor, arange, from_numpy, full, ones, ones_like, zeros, zeros_like
from tinytorch.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from tinytorch.acceleration.compiled import compile
    from tinytorch.acceleration.loaded import load_program

__all__ = [
    "Generator",
    "Tensor",
    "arange",
    "argmax",
    "bool",
    "clip",
    "compile",
    "concat",
    "cos",
    "enable_grad",
    "erf",
    "errors",
    "exp",
    "float16",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "gather",
    "get_num_threads",
    "grad",
    "gradcheck",
    "int8",
    "int32",
    "int64",
    "load_program",
    "log",
    "log_softmax",
    "manual_seed",
    "matmul",
    "maximum",
    "mean",
    "meta",
    "minimum",
    "no_grad",
    "observe",
    "ones",
    "ones_like",
    "pad",
    "rand",
    "randint",
    "randn",
    "randperm",
    "relu",
    "set_num_threads",
    "sigmoid",
    "sin",
    "softmax",
    "split",
    "sqrt",
    "stack",
    "sum",
    "tanh",
    "use_backend",
    "var",
    "where",
    "zeros",
    "zeros_like",
]


def __getattr__(name: str) -> Any:
    """The compiler is imported when it is first asked for: most programs do without."""
    if name == "compile":
        from tinytorch.acceleration.compiled import compile

        return compile
    if name == "load_program":
        from tinytorch.acceleration.loaded import load_program

        return load_program
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
