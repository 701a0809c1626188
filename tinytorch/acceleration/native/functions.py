"""Kernels as Python functions, each written once, and the module that holds them with all that they call."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.native import readable
from tinytorch.acceleration.native.image_rules import filter_panels
from tinytorch.acceleration.native.kernels.convolution import Convolve
from tinytorch.acceleration.native.kernels.convolution_codes import ConvolveCodes, filter_codes
from tinytorch.acceleration.native.kernels.gemm import Gemm, packed
from tinytorch.acceleration.native.kernels.integer import Codes, packed_codes, packed_nibbles
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.kernels.pointwise import Body, Pointwise
from tinytorch.acceleration.native.kernels.reduction import Reduce
from tinytorch.acceleration.native.kernels.sparse import SparseProduct
from tinytorch.acceleration.native.kernels.winograd import _G, Winograd, transformed_filters
from tinytorch.acceleration.native.place import Place
from tinytorch.ops.integer import unpack_nibbles
from tinytorch.ops.paged import BIAS, to_codes

WIDTH = 110
"""Columns of a line."""

OPERANDS: dict[str, tuple[str, str]] = {
    "Gemm": ("a b", "out"),
    "IntGemm": ("codes panels", "out"),
    "GroupGemm": ("codes panels scales", "out"),
    "SparseRows": ("data values columns starts", "out"),
    "SparseBlocks": ("data blocks columns starts", "out"),
    "QuantizeEachRow": ("data", "codes scales"),
    "ConvolveCodes": ("image filters", "out"),
    "Convolve": ("image filters", "out"),
    "ConvolveWeights": ("g image", "dw"),
    "Winograd": ("image filters", "out"),
    "PoolForward": ("image", "out number"),
    "PoolBackward": ("g number", "dx"),
    "SoftmaxRows": ("logits", "out"),
    "LayerNormRows": ("data weight bias", "out means rstds"),
    "LayerNormGradRows": ("g data weight means rstds", "dx dweight dbias"),
    "CrossEntropyRows": ("logits labels", "loss gradient"),
    "AttentionHeads": ("q k v mask", "out shares"),
    "AttentionGradHeads": ("g q k v shares", "dq dk dv"),
    "CheckRange": ("ids", ""),
    "CheckSome": ("ids", ""),
    "TakeRows": ("table ids", "out"),
    "SumRows": ("g ids", "out"),
    "AdamStep": ("lr p g m v count", "new_p new_m new_v new_count"),
    "UniformDraws": ("state", "out new_state"),
}
"""What the arrays that a kernel reads and writes are called in its function, by its class."""

_LETTERS = "abcdefghpqruvwz"
HELPERS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        filter_codes,
        filter_panels,
        packed,
        packed_codes,
        packed_nibbles,
        readable.fake_quantize,
        readable.frame,
        readable.gelu,
        readable.gelu_grad,
        readable.philox,
        readable.quantize,
        readable.sgd,
        readable.strided,
        readable.winograd_outputs,
        readable.winograd_patch,
        to_codes,
        transformed_filters,
        unpack_nibbles,
    )
}
"""Functions whose source goes into a text that calls them."""
NUMBERS: dict[str, Any] = {"_G": _G, "BIAS": BIAS}
"""Constants that they use."""

_NUMPY = (
    "exp inf log maximum minimum nan rint sign sqrt tanh bool_ int8 int32 int64 uint8 float16 float32 float64"
)
_FROM = {
    "itertools": {"product"},
    "math": {"erf"},
    "numpy": set(_NUMPY.split()),
    "numpy.lib.stride_tricks": {"as_strided"},
}
"""Names that a text may use, by the module that they come from."""


class Functions:
    """The functions of the kernels met so far, by name; kernels with equal text share one."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self._known: dict[tuple[str, ...], str] = {}

    def name(self, kernel: Kernel) -> str:
        """The name of a kernel's function, which is written if it is a new one."""
        reads, writes = operand_names(kernel)
        arguments = ", ".join((*reads, *writes))
        lines, doc = list(kernel.text(reads, writes)), shapes(kernel, reads, writes)
        key = (arguments, doc, *lines)
        if key not in self._known:
            first = identifier("_".join(title(kernel)))
            name, number = first, 1
            while name in self.texts or name in reserved():
                number += 1
                name = f"{first}_{number}"
            self._known[key] = name
            body = [line for one in lines for line in folded(f"    {one}")]
            head = [*folded(f"def {name}({arguments}):"), *quoted(doc, "    ")]
            self.texts[name] = [*head, *body]
        return self._known[key]


def title(kernel: Kernel) -> list[str]:
    """What a kernel does, in a few words: the ops that its loops hold."""
    if isinstance(kernel, Pointwise):
        words = _ops(kernel.body)
    elif isinstance(kernel, Reduce):
        words = [*_ops(kernel.body), kernel.op.name, "over", *map(str, kernel.op.axis)]
    elif isinstance(kernel, Gemm):
        words = ["matmul", *_ops(kernel.body)]
    elif isinstance(kernel, Codes | SparseProduct):
        words = [parts(kernel.calls[0])[0].op.name, *_ops(kernel.body)]
    elif isinstance(kernel, ConvolveCodes):
        words = ["intconv2d", *_ops(kernel.body), *["maxpool2d"] * kernel.pool]
    elif isinstance(kernel, Convolve | Winograd):
        words = [type(kernel).__name__.lower(), *_ops(kernel.body), *["maxpool2d"] * kernel.pool]
    else:
        words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(kernel).__name__).lower()]
    return words if len(words) <= 4 else [*words[:3], "and", str(len(words) - 3), "more"]


def _ops(body: Body) -> list[str]:
    return [call.op.name for call in body.calls]


def operand_names(kernel: Kernel) -> tuple[list[str], list[str]]:
    """Names for what a kernel reads and writes that its text does not use for anything else."""
    first = [f"operand_{i}_" for i in range(len(kernel.reads) + len(kernel.writes))]
    text = "\n".join(kernel.text(first[: len(kernel.reads)], first[len(kernel.reads) :]))
    taken = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    hints = OPERANDS.get(type(kernel).__name__, ("", "out"))
    found = []
    for hint, places, spare in zip(hints, (kernel.reads, kernel.writes), (_LETTERS, ""), strict=True):
        words = hint.split() or ["a"]
        letters = [*words, *spare, *(f"{words[0]}{i}" for i in range(2, 2 + len(places)))]
        free = (name for name in dict.fromkeys(letters) if name not in taken)
        names = [next(free) for _ in places]
        taken.update(names)
        found.append(names)
    return found[0], found[1]


def shapes(kernel: Kernel, reads: Sequence[str], writes: Sequence[str]) -> str:
    """The shape of each operand."""
    given, made = (
        ", ".join(f"{name} {short(place)}" for name, place in zip(names, places, strict=True))
        for names, places in ((reads, kernel.reads), (writes, kernel.writes))
    )
    return " -> ".join(part for part in (given, made) if part)


def short(place: Place) -> str:
    """A shape as text, with its dtype unless that is float32."""
    return f"{'' if place.dtype.name == 'float32' else place.dtype.name}({', '.join(map(str, place.shape))})"


# ---------------------------------------------------------------- the module


def module(docstring: Sequence[str], functions: Iterable[Sequence[str]]) -> str:
    """A module of functions, with imports and helpers for the names that they use."""
    bodies = ["\n".join(lines) for lines in functions]
    helpers: dict[str, str] = {}
    pending = _used(bodies)
    while pending:
        name = pending.pop()
        if name in HELPERS and name not in helpers:
            helpers[name] = helper_text(HELPERS[name])
            pending |= _used([helpers[name]])
        elif name in NUMBERS:
            value = NUMBERS[name]
            helpers[name] = f"{name} = " + (
                str(value) if isinstance(value, int) else f"np.array({value.tolist()})"
            )
    texts = [*(helpers[name] for name in sorted(helpers)), *bodies]
    used = _used(texts)
    imports = ["import numpy as np"]
    for source, names in _FROM.items():
        wanted = sorted(used & names, key=lambda name: (name.lower(), name))
        if wanted:
            imports += folded(f"from {source} import {', '.join(wanted)}")
    theirs = [line for line in imports if "numpy" not in line]
    ours = [line for line in imports if "numpy" in line]
    head = ["\n".join(group) for group in (docstring, theirs, ours) if group]
    return "\n\n".join(head) + "\n\n\n" + "\n\n\n".join(texts) + "\n"


def helper_text(function: Callable[..., Any]) -> str:
    """A function's source without annotations, and with the first line of its docstring alone."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef), "helpers are functions"
    for argument in (*node.args.args, *node.args.kwonlyargs):
        argument.annotation = None
    head = folded(f"def {node.name}({ast.unparse(node.args)}):")
    body = source.splitlines()[node.body[1].lineno - 1 :]
    return "\n".join([*head, *quoted((ast.get_docstring(node) or "").split("\n")[0], "    "), *body])


def quoted(text: str, pad: str = "") -> list[str]:
    """A docstring in lines that fit."""
    if len(text) + len(pad) + 6 <= WIDTH:
        return [f'{pad}"""{text}"""']
    inner = textwrap.wrap(text, WIDTH - len(pad) - 3, break_on_hyphens=False)
    return [pad + line for line in (f'"""{inner[0]}', *inner[1:], '"""')]


def reserved() -> set[str]:
    """Names that mean something in every text: Python's own, those of imports and helpers."""
    imported = (name for names in _FROM.values() for name in names)
    return {"np", "program", *dir(builtins), *HELPERS, *NUMBERS, *imported}


def _used(texts: Iterable[str]) -> set[str]:
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


# ---------------------------------------------------------------- lines


def identifier(text: str) -> str:
    """Text as a name in Python.

    >>> identifier("layers.0.weight"), identifier("2d")
    ('layers_0_weight', '_2d')
    """
    name = re.sub(r"\W", "_", text) or "_"
    return f"_{name}" if name[0].isdigit() else name


def folded(line: str, width: int = WIDTH) -> list[str]:
    """A line of code as several that fit, broken inside of its brackets; its comment goes in front.

    >>> folded("    total = area(first, second)  # in m2", 24)
    ['    # in m2', '    total = area(first,', '        second)']
    """
    pad = " " * (len(line) - len(line.lstrip()) + 4)
    found: list[str] = []
    if len(line) > width and "  # " in line:
        line, comment = line.rsplit("  # ", 1)
        return [f"{pad[4:]}# {comment}", *folded(line, width)]
    while len(line) > width:
        at = _break(line, width, 1 if found else 0)
        if at is None:
            break
        found.append(line[:at].rstrip())
        line = pad + line[at:].lstrip()
    return [*found, line]


def call_lines(name: str, arguments: Sequence[str], pad: str = "") -> list[str]:
    """A call, on one line, or with all arguments on the next, or with one a line.

    >>> call_lines("f", ["x", "y"])
    ['f(x, y)']
    """
    inside = f"{pad}    {', '.join(arguments)}"
    if len(inside) + len(name) - 2 <= WIDTH:
        return [f"{pad}{name}({', '.join(arguments)})"]
    body = [inside] if len(inside) <= WIDTH else [f"{pad}    {argument}," for argument in arguments]
    return [f"{pad}{name}(", *body, f"{pad})"]


def _break(line: str, width: int, depth: int) -> int | None:
    """Where a line may be broken: the last space in as few brackets as can be, and in no string."""
    quote, best, least = "", None, 1000
    for at, sign in enumerate(line[: width + 1]):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == " " and 0 < depth <= least and at > len(line) - len(line.lstrip()):
            best, least = at, depth
    return best
