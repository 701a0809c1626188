"""What a function can reach beside its arguments: Python values that it may read, and their changes."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytorch.acceleration.arguments import same
from tinytorch.acceleration.walk import MOST_VALUES, Holder, Walk
from tinytorch.ops.spec import Array


class Reach:
    """The Python values that functions and objects use, as far as they can be found by looking.

    These are attributes of modules, of optimizers and of other objects that the code names, variables of
    closures and globals that it names, and what lists and dicts among them hold. `unchanged()` compares them
    with what they were when this object was made: numbers and text by value, all else by identity.

    >>> options = {"scale": 2.0}
    >>> def scaled_by(options):
    ...     return lambda x: x * options["scale"]
    >>> reach = Reach(scaled_by(options))
    >>> options["scale"] = 3.0
    >>> reach.unchanged(), reach.change()
    (False, 'options.scale changes')
    """

    def __init__(self, *roots: Any) -> None:
        walk = Walk.over(roots)
        self.modules, self.optimizers = walk.modules, walk.optimizers
        self.tensors, self.refusal, self.names = walk.tensors, walk.refusal, walk.names
        self._before = [(holder, list(holder.read(holder.thing)), holder.size()) for holder in walk.holders]
        self._sized = [(holder.thing, holder.size()) for holder in walk.holders if holder.sized]
        self._arrays = [(array, array.copy(), label) for array, label in walk.arrays]
        self._generators = walk.generators
        self._random = self._random_states()
        self._modes = [(module, module.training) for module in walk.modules]
        self.changes = 0
        """How often other objects with the same values had taken the place of those known."""
        self._named: list[tuple[Any, Any, Any]] = []
        self._others: list[tuple[Holder, list[Any]]] = []
        self._sort()
        if self.watched > MOST_VALUES:
            self.refusal = self.refusal or f"it can reach {self.watched:,} Python values, too many to watch"

    @property
    def watched(self) -> int:
        """How many values are compared."""
        return len(self._named) + sum(len(values) for _, values in self._others)

    def _sort(self) -> None:
        """Lay out what is compared at each call, so that little is done there."""
        self._named = []
        self._others = []
        for holder, values, _ in self._before:
            if holder.keyed:
                self._named += [(holder.thing, n, v) for n, v in zip(holder.names, values, strict=False)]
            elif values:
                self._others.append((holder, values))

    def unchanged(self) -> bool:
        """Whether everything is as it was."""
        try:
            for holder, name, value in self._named:
                if holder[name] is not value:
                    return self._still()
            for holder, size in self._sized:
                if len(holder) != size:
                    return False
            for other, values in self._others:
                found = list(other.read(other.thing))
                if len(found) != len(values) or not all(map(operator.is_, found, values)):
                    return self._still()
        except (LookupError, AttributeError):
            return False
        return not self._arrays or all(_equal(array, copy) for array, copy, _ in self._arrays)

    def tests(self, names: dict[str, Any]) -> Iterator[str]:
        """`unchanged` as expressions that are true after a change; what they name is added to `names`.

        A missing key raises KeyError there.
        """
        if self._others or self._arrays:
            names["unchanged"] = self.unchanged
            yield "not unchanged()"
            return
        numbers: dict[int, str] = {}
        for holder in (*(h for h, _, _ in self._named), *(h for h, _ in self._sized)):
            name = numbers.setdefault(id(holder), f"holder{len(numbers)}")
            names[name] = holder
        for i, (holder, key, value) in enumerate(self._named):
            names |= {f"key{i}": key, f"value{i}": value}
            shown = repr(key) if type(key) in (str, int) else f"key{i}"
            yield f"{numbers[id(holder)]}[{shown}] is not value{i}"
        for holder, size in self._sized:
            yield f"len({numbers[id(holder)]}) != {size}"

    def _still(self) -> bool:
        """Whether everything is as it was, where it is not all the same objects."""
        now = []
        for holder, before, size in self._before:
            found = list(holder.read(holder.thing))
            if holder.size() != size or len(found) != len(before) or not all(map(same, found, before)):
                return False
            now.append((holder, found, size))
        self._before = now
        self.changes += 1
        self._sort()
        return all(_equal(array, copy) for array, copy, _ in self._arrays)

    def change(self) -> str:
        """What is not as it was, in words, or nothing; what optimizers begin to keep does not count."""
        if self._random_states() != self._random:
            return "random numbers of Python's or NumPy's own are drawn"
        for holder, before, size in self._before:
            if holder.grows:
                continue
            try:
                found = list(holder.read(holder.thing))
            except (LookupError, AttributeError):
                return f"{holder.label} changes"
            if holder.size() != size or len(found) != len(before) or not all(map(same, found, before)):
                return f"{_what(holder, before, found)} changes"
        if any(module.training is not mode for module, mode in self._modes):
            return "the mode of a module changes"
        changed = [label for array, copy, label in self._arrays if not _equal(array, copy)]
        return f"the NumPy array {changed[0]} changes" if changed else ""

    def _random_states(self) -> list[Any]:
        found: list[Any] = [random.getstate(), _plain(np.random.get_state(legacy=False))]
        for one in self._generators:
            if isinstance(one, random.Random):
                found.append(one.getstate())
            elif isinstance(one, np.random.Generator):
                found.append(_plain(one.bit_generator.state))
            else:
                found.append(_plain(one.get_state(legacy=False)))
        return found


def _what(holder: Holder, before: list[Any], found: list[Any]) -> str:
    """The name of the attribute that changed, where the holder has names for them."""
    for name, old, new in zip(holder.names, before, found, strict=False):
        if not same(old, new):
            return f"{holder.label}.{name}" if holder.label else str(name)
    return holder.label


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _plain(state: Any) -> Any:
    """A generator's state as something that `==` compares."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state
