"""Chat templates out of model files, run so that they reach nothing, end, and stay small.

Jinja's sandbox keeps a template from the machine, not from looping for ever or making gigabytes of text: here
loops, calls and all that a template makes are charged to an account, and what grows in one step is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from tinytorch.errors import ModelFileError

LONGEST_PROMPT = 1 << 22
"""Characters that a template may make of a chat."""
BUDGET = 1 << 20
"""Turns of loops, elements of lists and pieces of 64 characters that a template may take; a call is 64."""
_FILTERS = (
    "abs capitalize count d default dictsort e escape first float int items last length list lower map max "
    "min reject rejectattr reverse safe select selectattr sort string sum title trim unique upper"
)
_METHODS = (
    "capitalize count endswith find index isalnum isalpha isdigit islower isspace istitle isupper lower "
    "lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split "
    "splitlines startswith strip swapcase title upper"
)
_MAKE = nodes.Concat, nodes.Filter, nodes.Getitem, nodes.List, nodes.Tuple, nodes.Dict
"""What makes a value, beside calls and sums."""
_BAD = (
    *(TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RuntimeError, SyntaxError),
    *(AttributeError, AssertionError, MemoryError),
)


def render(template: str, messages: Sequence[Mapping[str, str]], **names: str) -> str:
    """The text of a chat; raises ModelFileError where the template does not work, or does not end."""
    text, size = list[str](), 0
    try:
        sandbox = _Sandbox()
        tree = sandbox.parse(template)
        _Charged(sandbox).visit(tree)
        made = sandbox.from_string(tree).generate(
            messages=list(messages), add_generation_prompt=True, **names
        )
        for part in made:
            text.append(part)
            size += len(part)
            if size > LONGEST_PROMPT:
                raise SecurityError(f"it makes more than {LONGEST_PROMPT:,} characters")
    except _BAD as error:
        reason = " ".join(str(error)[:200].split()) or type(error).__name__
        raise ModelFileError(f"the model's chat template does not work: {reason}") from error
    return "".join(text)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without what makes much of little, and with an account of what is done."""

    intercepted_binops = frozenset(("+", "*", "%", "**"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, optimized=False)
        self.left = BUDGET
        self.globals = {
            name: self.globals[name] for name in ("range", "dict", "namespace", "joiner", "cycler")
        }
        self.globals["raise_exception"] = _refuse
        kept: dict[str, Callable[..., Any]] = {name: self.filters[name] for name in _FILTERS.split()}
        own = {"join": self.join, "replace": self.replace, "tojson": _to_json}
        self.filters = {**kept, **own, "_charged": self.charged, "_counted": self.counted}

    def spend(self, units: int) -> None:
        """Take from the account; raises SecurityError where nothing is left."""
        self.left -= units
        if self.left < 0:
            raise SecurityError("it does not come to an end")

    def charged(self, value: Any) -> Any:
        """The value, paid for with all that it holds, however often it holds it."""
        units, letters, there = 0, 0, [value]
        while there and units <= self.left:
            one = there.pop()
            inside: Any = ()
            if isinstance(one, str):
                letters += len(one)
            elif isinstance(one, Namespace):
                inside = list(one._Namespace__attrs.values())
            elif isinstance(one, dict):
                inside = [*one, *one.values()]
            elif isinstance(one, list | tuple):
                inside = one
            units += 1 + len(inside)
            if units <= self.left:
                there.extend(inside)
        self.spend(units + letters // 64)
        return value

    def counted(self, values: Iterable[Any]) -> Iterator[Any]:
        """What a loop goes through."""
        for value in values:
            self.spend(1)
            yield value

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja
        __self.spend(64)
        text = getattr(__obj, "__self__", None)
        if isinstance(text, str) and __obj.__name__ == "replace":
            __self.spend(text.count(args[0]) * len(args[1]) // 64)
        return __self.charged(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Sums, and products and remainders of numbers of usual size."""
        numbers = all(isinstance(x, int | float) and abs(x) < 2.0**64 for x in (left, right))
        if operator == "**" or (operator != "+" and not numbers):
            raise SecurityError(f"{operator} of these is not allowed")
        return self.charged(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """What the sandbox allows; of text only what makes no more of it, of numbers and bytes nothing."""
        if isinstance(obj, int | float | bytes) or (isinstance(obj, str) and attr not in _METHODS.split()):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        """Refuse what is not allowed where it is asked for."""
        raise SecurityError(f"{attribute!r} of {type(obj).__name__} is not allowed")

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` is no exception: it fills up to any width."""

    def replace(self, text: str, old: str, new: str, count: int = -1) -> str:
        """As `str.replace`, paid for before it is done."""
        text = str(text)
        self.spend(text.count(old) * len(new) // 64)
        return text.replace(old, new, count)

    def join(self, values: Iterable[Any], between: str = "", attribute: str | None = None) -> str:
        """As Jinja's `join`, paid for before it is done."""
        parts = [str(self.getitem(v, attribute) if attribute else v) for v in self.counted(values)]
        self.spend((sum(map(len, parts)) + len(between) * len(parts)) // 64)
        return between.join(parts)


class _Charged(NodeTransformer):
    """Puts the account into a template: around what loops, and around what makes or writes a value."""

    def __init__(self, environment: _Sandbox) -> None:
        self.environment = environment

    def wrap(self, node: Any, name: str = "_charged") -> nodes.Filter:
        line = 1 if node is None else node.lineno
        return nodes.Filter(node, name, [], [], None, None, lineno=line, environment=self.environment)

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node, nodes.For):
            node.iter = self.wrap(node.iter, "_counted")
        elif isinstance(node, nodes.Output | nodes.Concat):
            node.nodes = [n if isinstance(n, nodes.TemplateData) else self.wrap(n) for n in node.nodes]
        elif isinstance(node, nodes.Filter) and node.node is not None:
            node.node = self.wrap(node.node)
        return self.wrap(node) if isinstance(node, _MAKE) and _is_read(node) else node


def _is_read(node: nodes.Node) -> bool:
    """Whether it is a value, not names that are assigned to."""
    return getattr(node, "ctx", "load") == "load"


def _refuse(message: str) -> NoReturn:
    raise SecurityError(message)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    """JSON as model makers mean it: characters as they are, nothing escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(int(indent), 8))
