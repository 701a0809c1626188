"""Optimizer: groups of parameters with options, their state as Tensors, and how both are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.errors import CheckpointError, GradientError, TinyTorchError
from tinytorch.ops.spec import float64
from tinytorch.tensor import Tensor

Group: TypeAlias = dict[str, Any]
Parameters: TypeAlias = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class Optimizer(ABC):
    """Changes parameters by their gradients: `zero_grad()`, `backward()`, `step()`.

    `parameters`: Tensors, or groups such as `{"params": [...], "lr": 0.01}`, whose options replace defaults.
    Each of `param_groups` holds "params" and its options; its "lr" is a float64 Tensor without axes, changed
    by `assign_`. Raises GradientError for no parameters, one given twice or one that takes no gradient;
    ValueError for an option out of range.
    """

    def __init__(self, parameters: Parameters, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        given: list[Any] = [parameters] if isinstance(parameters, Mapping) else list(parameters)
        if not given:
            raise GradientError(f"{self._name}: there are no parameters. Pass model.parameters().")
        if not isinstance(given[0], Mapping):
            given = [{"params": given}]
        for group in given:
            self.add_param_group(group)

    @abstractmethod
    def check(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""

    @abstractmethod
    def start(self, parameter: Tensor, group: Group) -> dict[str, Tensor]:
        """The state of a parameter before its first step, by name; empty where none is kept."""

    @abstractmethod
    def update(self, group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Change the parameters of one group that have a gradient, and their state."""

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own, such as layers that are trained from now on."""
        if "params" not in group:
            raise GradientError(f"{self._name}: a group needs 'params'; this one has {sorted(group)}")
        unknown = sorted(set(group) - set(self.defaults) - {"params"})
        if unknown:
            raise ValueError(f"{self._name}: unknown options {unknown}; there are {sorted(self.defaults)}")
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        self._check_parameters(params)
        options = {**self.defaults, **{k: v for k, v in group.items() if k != "params"}}
        rate = float(options["lr"])
        if not 0 <= rate < float("inf"):
            raise ValueError(f"{self._name}: lr is {rate}; it must be 0 or more, and finite")
        self.check(options)
        self.param_groups.append({"params": params, **options, "lr": Tensor(rate, float64)})

    def _check_parameters(self, params: list[Tensor]) -> None:
        if not params:
            raise GradientError(f"{self._name}: there are no parameters. Pass model.parameters().")
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for number, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise GradientError(f"{self._name}: parameter {number} is a {type(p).__name__}, not a Tensor")
            if not p.requires_grad or not p.is_leaf:
                raise GradientError(
                    f"{self._name}: parameter {number} of shape {p.shape} "
                    + ("was made by an op" if not p.is_leaf else "has requires_grad=False")
                    + ". Pass leaves with requires_grad=True."
                )
            if id(p) in seen:
                raise GradientError(f"{self._name}: parameter {number} of shape {p.shape} is given twice")
            seen.add(id(p))

    def zero_grad(self) -> None:
        """Forget the gradients of the parameters of all groups: each `.grad` becomes None.

        None rather than zeros: memory is given back, and `step` leaves out a parameter that the next backward
        does not reach.
        """
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Change each parameter that has a gradient; raises ShapeError for a gradient of another shape.

        Of each of `self.param_groups` only the parameters count whose `.grad` is not None; a group without
        any is passed over. A parameter that `self.state` does not know yet first gets the state that
        `self.start(parameter, group)` gives. Then one call `self.update(group, parameters, gradients)`
        changes them all. Nothing of this is recorded for backward (`no_grad()`).
        """
        with no_grad():
            for group in self.param_groups:
                parameters = [p for p in group["params"] if p.grad is not None]
                if not parameters:
                    continue
                for p in parameters:
                    if p not in self.state:
                        self.state[p] = self.start(p, group)
                self.update(group, parameters, [p.grad for p in parameters])

    # ------------------------------------------------------------ storing

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs, flat: Tensors such as `groups.0.lr` and `state.3.step`, and options.

        Parameters are numbered through all groups.
        """
        found: dict[str, Any] = {}
        number = 0
        for g, group in enumerate(self.param_groups):
            for key, value in group.items():
                found[f"groups.{g}.{key}"] = len(value) if key == "params" else value
            for p in group["params"]:
                for key, tensor in self.state.get(p, {}).items():
                    found[f"state.{number}.{key}"] = tensor
                number += 1
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over options and state; raises CheckpointError, and changes nothing, for what does not fit."""
        self.staged(state)()

    def staged(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Check a stored state, or raise CheckpointError; the function returned then takes it over."""
        groups = self._read_groups(state)
        tensors = self._read_state(state, [options for options, _ in groups])

        def take_over() -> None:
            for group, (options, rate) in zip(self.param_groups, groups, strict=True):
                group.update(options)
                group["lr"].assign_(rate)
            self.state = tensors

        return take_over

    def _read_groups(self, state: Mapping[str, Any]) -> list[tuple[Group, float]]:
        """The options of each group, and its learning rate, checked."""
        expected = {f"groups.{g}.{key}" for g, group in enumerate(self.param_groups) for key in group}
        given = {key for key in state if not key.startswith("state.")}
        if expected != given:
            raise CheckpointError(
                f"{self._name}: {_difference(expected, given)}. Was it saved by this kind of optimizer?"
            )
        found = []
        for g, group in enumerate(self.param_groups):
            options = {key: state[f"groups.{g}.{key}"] for key in group}
            count = options.pop("params")
            if count != len(group["params"]):
                raise CheckpointError(
                    f"{self._name}: group {g} has {len(group['params'])} parameters, the stored one {count}"
                )
            try:
                rate = float(options.pop("lr"))
                options = {key: _like(group[key], value) for key, value in options.items()}
                self.check(options)
            except (TypeError, ValueError, TinyTorchError) as error:
                raise CheckpointError(
                    f"{self._name}: the options of group {g} are damaged: {error}"
                ) from None
            if not 0 <= rate < float("inf"):
                raise CheckpointError(f"{self._name}: the stored learning rate of group {g} is {rate}")
            found.append((options, rate))
        return found

    def _read_state(self, state: Mapping[str, Any], options: list[Group]) -> dict[Tensor, dict[str, Tensor]]:
        """Copies of the stored state, checked against what each parameter would start with."""
        parameters = [
            (p, o) for group, o in zip(self.param_groups, options, strict=True) for p in group["params"]
        ]
        stored: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if not key.startswith("state."):
                continue
            digits, _, name = key.removeprefix("state.").partition(".")
            if not digits.isdecimal() or int(digits) >= len(parameters) or not isinstance(value, Tensor):
                raise CheckpointError(f"{self._name}: {key} is not the state of any parameter here")
            stored.setdefault(int(digits), {})[name] = value
        found = {}
        for number, tensors in sorted(stored.items()):
            parameter, group = parameters[number]
            expected = self.start(parameter, group)
            if set(expected) != set(tensors):
                difference = _difference(set(expected), set(tensors))
                raise CheckpointError(f"{self._name}: state of parameter {number}: {difference}")
            for name, tensor in tensors.items():
                here = expected[name]
                if (tensor.shape, tensor.dtype) != (here.shape, here.dtype):
                    raise CheckpointError(
                        f"{self._name}: state.{number}.{name} is {tensor.dtype}{tensor.shape}; "
                        f"expected {here.dtype}{here.shape}"
                    )
            found[parameter] = {name: tensors[name].detach().clone() for name in expected}
        return found


def _difference(expected: set[str], given: set[str]) -> str:
    missing, extra = sorted(expected - given), sorted(given - expected)
    parts = [
        f"{word} {', '.join(keys[:4])}" for word, keys in (("missing", missing), ("extra", extra)) if keys
    ]
    return "; ".join(parts)


def _like(current: Any, value: Any) -> Any:
    """A stored option in the type of the one in use: JSON knows no tuples, and writes 1.0 as it likes."""
    if isinstance(current, tuple):
        if not isinstance(value, list | tuple) or len(value) != len(current):
            raise TypeError(f"{value!r} is not a tuple like {current}")
        return tuple(_like(c, v) for c, v in zip(current, value, strict=True))
    if isinstance(value, bool) != isinstance(current, bool) or not isinstance(value, bool | int | float):
        raise TypeError(f"{value!r} is not an option like {current!r}")
    return type(current)(value)


def in_range(name: str, value: float, below: float = np.inf) -> None:
    """Raise ValueError unless 0 <= value < below."""
    if not 0 <= value < below:
        end = "finite" if below == np.inf else f"less than {below:g}"
        raise ValueError(f"{name} is {value}; it must be at least 0 and {end}")
