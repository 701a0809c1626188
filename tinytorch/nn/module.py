"""Module: a tree of named parameters, buffers and sub-modules, and the forward pass that uses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

from tinytorch.errors import CheckpointError, DTypeError, GradientError, TinyTorchError
from tinytorch.ops.base import lift
from tinytorch.ops.context import context, grad_mode, leave
from tinytorch.ops.spec import Array, DType, as_dtype
from tinytorch.tensor import Tensor

StateDict: TypeAlias = Mapping[str, "Tensor | Array"]
_T = TypeVar("_T")


def Parameter(data: Any) -> Tensor:  # noqa: N802 - PyTorch's name
    """A leaf tensor with memory of its own that asks for a gradient: what a Module trains.

    `data`: a Tensor, array or numbers, floating. Raises DTypeError for integers.

    >>> Parameter([1.0, 2.0]).requires_grad
    True
    """
    if not isinstance(data, Tensor):
        return Tensor(data, requires_grad=True)
    with grad_mode(False):
        return data.clone().requires_grad_()


class Module:
    """Base of layers and models: assign parameters and modules as attributes, and write `forward`.

    A leaf tensor that requires a gradient becomes a parameter when assigned, a Module a child;
    `register_buffer` names tensors that are stored but not trained. Calling a module runs `forward`, and
    every op in there is filed under the module's path ("blocks.0.attn.q_proj"; the root has no name).
    A module assigned in two places goes by the name it got last.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()
    Scale(), factor (1,), 1 parameter
    """

    example_input: Tensor | None = None
    """An input that fits: for profiling, tracing and tests."""
    training: bool
    _name: str
    _roles: dict[str, str]

    def __init__(self) -> None:
        self.__dict__.update(_roles={}, _name="", training=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every Module has its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` with the module's name on the path under which ops are filed, if one is wanted."""
        here = context.state
        if not (here.watched or here.grad):
            return self.forward(*args, **kwargs)
        name, outer = self._name, here.path
        if name:
            here.path = f"{outer}.{name}" if outer else name
        try:
            return self.forward(*args, **kwargs)
        finally:
            here.path = outer

    # ------------------------------------------------------------ registration

    def __setattr__(self, name: str, value: Any) -> None:
        roles = self.__dict__.get("_roles")
        if roles is None:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
        if isinstance(value, Module):
            roles[name] = "module"
            value._rename(self._name_for(name))
        elif isinstance(value, Tensor) and (roles.get(name) in ("parameter", "buffer") or _trainable(value)):
            _require_own_memory(name, value)
            roles.setdefault(name, "parameter")
        else:
            roles.pop(name, None)
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._roles.pop(name, None)

    def register_buffer(self, name: str, tensor: Tensor) -> None:
        """Name a tensor that is part of `state_dict` but not trained, such as a running mean."""
        _require_own_memory(name, tensor)
        self._roles[name] = "buffer"
        self.__dict__[name] = tensor

    def _rename(self, name: str) -> None:
        self.__dict__["_name"] = name

    def _name_for(self, child: str) -> str:
        return child

    # ------------------------------------------------------------ the tree

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Pairs (full name, module) of this module and all below it, parents before their children.

        The module itself goes by `prefix`; a child's full name is its parent's, a dot, and its own name in
        `named_children()`, without the dot where the parent's is "" (`_join` puts the two together).
        A module that is held in two places occurs under both names, and so does all below it.
        """
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(_join(prefix, name))

    def _tensors(self, *wanted: str) -> Iterator[tuple[str, Tensor]]:
        """Pairs (full name, tensor) of what has one of these roles, a shared one under each of its names."""
        for prefix, module in self._walk():
            for name, role in module._roles.items():
                if role in wanted:
                    yield _join(prefix, name), module.__dict__[name]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Modules assigned to this one, with their names."""
        return ((name, self.__dict__[name]) for name, role in self._roles.items() if role == "module")

    def children(self) -> Iterator[Module]:
        """Modules assigned to this one."""
        return (module for _, module in self.named_children())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module ("") and all below it, each once, parents first."""
        return _once(self._walk())

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs (full name, tensor) of the parameters of all modules, each tensor once, under its first name.

        `self._tensors("parameter")` yields them in order, but a shared one under each of its names.
        Tensors are told apart by identity, not by values: `==` compares their elements.
        """
        return _once(self._tensors("parameter"))

    def parameters(self) -> Iterator[Tensor]:
        """Parameters of all modules, shared ones once."""
        return (tensor for _, tensor in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Buffers of all modules with their full names, shared ones once."""
        return _once(self._tensors("buffer"))

    def num_parameters(self) -> int:
        """Number of elements of all parameters, shared ones counted once."""
        return sum(p.size for p in self.parameters())

    # ------------------------------------------------------------ modes

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all below it to training, or with mode=False to evaluation; returns itself.

        It is their attribute `training`: in training dropout drops, and batch norm uses the batch.
        """
        for module in self.modules():
            module.__dict__["training"] = mode
        return self

    def eval(self) -> Module:
        """Switch all modules to evaluation; gradients are recorded all the same unless under `no_grad`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, dtype: Any) -> Module:
        """Cast all floating parameters, buffers and example inputs; returns itself.

        The tensors are replaced by new ones, so call this before making an optimizer.
        Raises DTypeError unless `dtype` is floating.
        """
        target = as_dtype(dtype)
        if target.kind != "f":
            raise DTypeError(f"Module.to: takes a floating dtype, not {target}")
        twins: dict[Tensor, Tensor] = {}
        for module in self.modules():
            held = [name for name, role in module._roles.items() if role != "module"]
            for name in [*held, "example_input"]:
                tensor = getattr(module, name)
                if tensor is not None and tensor.dtype.kind == "f":
                    module.__dict__[name] = twins.setdefault(tensor, _cast(tensor, target))
        return self

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and buffers by full name, a tied one under each of its names.

        The tensors share the module's memory and follow its training: `clone()` those to keep.
        """
        return {name: tensor.detach() for name, tensor in self._tensors("parameter", "buffer")}

    def load_state_dict(self, state_dict: StateDict, strict: bool = True) -> None:
        """Copy tensors or arrays into the parameters and buffers of the same names.

        Unless `strict`, names that are missing or unknown are passed over. Of a tied tensor one name is
        enough. Raises CheckpointError listing all that does not fit, and then changes nothing.

        So look at everything first: a list of problems takes "missing NAME", "unexpected NAME", and
        "NAME: error" for each TinyTorchError that `_stage(values, target, value)` raises; what fits, it notes
        in the dict `values`. Raise `_misfit(self, problems)` if there are any; only then `assign_` all.
        """
        own = dict(self._tensors("parameter", "buffer"))
        given = {id(own[name]) for name in state_dict if name in own}
        problems = []
        if strict:
            problems += [f"missing {name}" for name, tensor in own.items() if id(tensor) not in given]
            problems += [f"unexpected {name}" for name in state_dict if name not in own]
        values: dict[Tensor, Tensor] = {}
        for name in own.keys() & state_dict.keys():
            try:
                _stage(values, own[name], state_dict[name])
            except TinyTorchError as error:
                problems.append(f"{name}: {error}")
        if problems:
            raise _misfit(self, problems)
        for target, value in values.items():
            target.assign_(value)

    # ------------------------------------------------------------ text

    def extra_repr(self) -> str:
        """The arguments to show in `repr`."""
        return ""

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        parts = [f"{type(self).__name__}({self.extra_repr()})"]
        parts += [f"{n} {self.__dict__[n].shape}" for n, role in self._roles.items() if role != "module"]
        count = self.num_parameters()
        if count:
            parts.append(f"{count:,} parameter{'s' if count > 1 else ''}")
        yield ", ".join(parts)
        for name, child in self.named_children():
            first, *rest = child._lines()
            yield f"  {name}: {first}"
            yield from (f"  {line}" for line in rest)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _once(pairs: Iterator[tuple[str, _T]]) -> Iterator[tuple[str, _T]]:
    seen: set[int] = set()
    for name, thing in pairs:
        if id(thing) not in seen:
            seen.add(id(thing))
            yield name, thing


def _trainable(tensor: Tensor) -> bool:
    return tensor.requires_grad and tensor.is_leaf


def _require_own_memory(name: str, tensor: Tensor) -> None:
    if not tensor.is_leaf or tensor._base is not None:
        raise GradientError(
            f"{name}: a parameter or buffer has memory of its own. Use Parameter(x) or x.clone()."
        )


def _cast(tensor: Tensor, dtype: DType) -> Tensor:
    with grad_mode(False):
        return tensor.to(dtype).requires_grad_(tensor.requires_grad)


def _stage(values: dict[Tensor, Tensor], target: Tensor, value: Tensor | Array) -> None:
    """Note what `target` is to become; raises if that does not fit it, or differs from what was noted."""
    if not isinstance(value, Tensor | np.ndarray):
        raise CheckpointError(f"expected a Tensor or array, not {type(value).__name__}")
    tensor = lift(value)
    if tensor.shape != target.shape:
        raise CheckpointError(f"shape {tensor.shape}, expected {target.shape}")
    if tensor.dtype.kind != target.dtype.kind:
        raise CheckpointError(f"dtype {tensor.dtype}, expected {target.dtype}")
    tied = values.setdefault(target, tensor)
    if tied is not tensor and not np.array_equal(
        leave(tied, "compare"), leave(tensor, "compare"), equal_nan=True
    ):
        raise CheckpointError("differs from the value of a name that it is tied to")


def _misfit(module: Module, problems: list[str]) -> CheckpointError:
    """The error that lists the problems, the first 20 of them if there are more."""
    shown = sorted(problems)[:20] + (["..."] if len(problems) > 20 else [])
    return CheckpointError(
        f"load_state_dict: {type(module).__name__}: {'; '.join(shown)} ({len(problems)} in all). "
        "Nothing was changed."
    )
