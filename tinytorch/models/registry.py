"""Models by name."""

from __future__ import annotations

from typing import Any, TypeAlias

from tinytorch.errors import DataError
from tinytorch.models.cnn import CNN
from tinytorch.models.gpt import GPT
from tinytorch.models.mlp import MLP

Model: TypeAlias = MLP | CNN | GPT

_MODELS: dict[str, type[MLP] | type[CNN] | type[GPT]] = {"mlp": MLP, "cnn": CNN, "gpt": GPT}


def names() -> list[str]:
    """The models that `build` makes.

    >>> names()
    ['mlp', 'cnn', 'gpt']
    """
    return list(_MODELS)


def build(name: str, **config: Any) -> Model:
    """A model with first values; `config` are arguments of its class, as its `config()` gives them.

    Raises DataError for an unknown name or argument.

    >>> build("mlp", sizes=(4, 3)).num_parameters()
    15
    """
    if name not in _MODELS:
        raise DataError(f"model {name!r} does not exist; there are: {', '.join(_MODELS)}")
    try:
        return _MODELS[name](**config)
    except TypeError as error:
        raise DataError(f"model {name!r} cannot be made from {config}: {error}") from error


def name_of(model: Model) -> str:
    """The name under which `build` makes models of this class."""
    return next(name for name, kind in _MODELS.items() if type(model) is kind)
