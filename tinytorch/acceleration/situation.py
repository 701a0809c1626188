"""Situations: what a call is like, as far as a program depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinytorch.acceleration.arguments import Kind, Slot, kind_of, same_tree
from tinytorch.acceleration.reach import Reach
from tinytorch.acceleration.trace import Traced
from tinytorch.ops.context import rules
from tinytorch.ops.spec import Spec
from tinytorch.tensor import Tensor


class Leaf(NamedTuple):
    """A tensor whose gradient matters: one that lives outside, or an argument by its position."""

    tensor: Tensor | None
    position: int

    def among(self, tensors: Sequence[Tensor]) -> Tensor:
        """The tensor, in a call with these arguments."""
        return tensors[self.position] if self.tensor is None else self.tensor


def leaf_of(tensor: Tensor, positions: Mapping[int, int]) -> Leaf:
    """The leaf that a tensor is; `positions` are those of the arguments, by id."""
    return Leaf(None, positions[id(tensor)]) if id(tensor) in positions else Leaf(tensor, -1)


class Situation:
    """Arguments without their values, the state of Python, and which gradients are there.

    A program that was made in one situation is right in all that are the same.
    """

    def __init__(self, skeleton: Any, traced: Traced, reach: Reach, grad: bool) -> None:
        tensors = traced.arguments
        self.skeleton, self.reach, self.grad = skeleton, reach, grad
        self.kinds: list[Kind] = [kind_of(t) for t in tensors]
        self.guards = traced.guards
        self.pattern = pattern_of(tensors)
        outside = {id(t): t for t in (*reach.tensors.values(), *traced.graph.states.values())}
        self._outside = list(outside.values())
        self._wanting = [(t, t.requires_grad) for t in self._outside] if traced.recorded else []
        self.known = {id(t._array) for t in self._outside}
        self.fixed = [id(t._array) if id(t._array) in self.known else None for t in tensors]
        """Of arguments that are found outside too, such as a model's example input: which array they are."""
        self._count = len(tensors) if _is_plain(skeleton) and self.pattern is None else -1
        """How many tensors the arguments are, if they are nothing else and all different."""
        positions = {id(t): i for i, t in enumerate(tensors)}
        values = traced.graph.inputs[
            len(traced.positions) :
        ]  # those of gradients come behind those of arguments
        self._absent = [leaf_of(t, positions) for t in traced.absent]
        self._read = [
            (leaf_of(t, positions), traced.graph.specs[v]) for t, v in zip(traced.read, values, strict=False)
        ]
        self._rules = len(rules)
        self._quick = not (self._absent or self._read or self._wanting or self.guards)
        """Whether nothing but values of Python is to be looked at."""

    @property
    def plain(self) -> bool:
        """Whether calls are told apart by tensors as arguments and by values of Python, and nothing else."""
        return self._count >= 0 and self._quick

    def accepts(self, args: tuple[Any, ...], grad: bool) -> bool:
        """Whether a call with these arguments, no others, is the same; only for plain ones."""
        if grad is not self.grad or len(args) != self._count:
            return False
        for i, tensor in enumerate(args):
            if type(tensor) is not Tensor:
                return False
            array = tensor._array
            kind = array.shape, array.dtype, tensor.requires_grad, type(array)
            if kind != self.kinds[i] or self._stranger(i, id(array)):
                return False
        if self._count > 1 and pattern_of(args) is not None:
            return False
        if self._quick:
            return self._rules == len(rules) and self.reach.unchanged()
        return self._holds(args)

    def fits(self, skeleton: Any, tensors: Sequence[Tensor], grad: bool) -> bool:
        """Whether a call with these arguments is the same."""
        return self.alike(skeleton, tensors, grad) and self._holds(tensors)

    def alike(self, skeleton: Any, tensors: Sequence[Tensor], grad: bool) -> bool:
        """Whether the arguments are the same, whatever Python's state is."""
        if not self.similar(tensors, grad) or self.pattern != pattern_of(tensors):
            return False
        if any(self._stranger(i, id(tensor._array)) for i, tensor in enumerate(tensors)):
            return False
        return same_tree(skeleton, self.skeleton)

    def _stranger(self, i: int, key: int) -> bool:
        """Whether an argument, by the id of its array, is one from outside where it was none, or another."""
        fixed = self.fixed[i]
        return key in self.known if fixed is None else key != fixed

    def similar(self, tensors: Sequence[Tensor], grad: bool) -> bool:
        """Whether the tensors among the arguments have the same shapes and dtypes."""
        return grad is self.grad and [kind_of(t) for t in tensors] == self.kinds

    def same_but_gradients(self) -> bool:
        """Whether the state of Python is the same, whichever gradients are there."""
        for tensor, wanted in self._wanting:
            if tensor.requires_grad is not wanted:
                return False
        for guard in self.guards:
            if not guard.holds():
                return False
        return self._rules == len(rules) and self.reach.unchanged()

    def _holds(self, tensors: Sequence[Any]) -> bool:
        for leaf in self._absent:
            if leaf.among(tensors).grad is not None:
                return False
        for leaf, spec in self._read:
            grad = leaf.among(tensors).grad
            if grad is None or Spec(grad.shape, grad.dtype) != spec:
                return False
        return self.same_but_gradients()


def pattern_of(tensors: Sequence[Any]) -> tuple[int, ...] | None:
    """Which tensors share an array with an earlier one, or None if all are different."""
    keys = [id(t._array) for t in tensors]
    if len(set(keys)) == len(keys):
        return None
    return tuple(map(keys.index, keys))


def _is_plain(skeleton: Any) -> bool:
    args, kwargs = skeleton
    return not kwargs and all(type(part) is Slot and part.number == i for i, part in enumerate(args))
