"""Weights of a model in a safetensors file, with the configuration that the model is rebuilt from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tinytorch.errors import CheckpointError, TinyTorchError
from tinytorch.models.registry import Model, build, name_of, names
from tinytorch.ops.context import meta
from tinytorch.training.files import read_tensors, tensors_of, write_tensors

_SHIPPED = Path(__file__).parent / "weights"


def save_weights(model: Model, path: str | Path, info: Mapping[str, str] | None = None) -> None:
    """Write parameters and buffers (a tied one once), the configuration and `info` to a safetensors file.

    The file appears whole or not at all. Raises CheckpointError where it cannot be written, and for a model
    that its configuration does not describe, as one of which heads were removed.
    """
    require_described(model)
    metadata = {**(info or {}), "model": name_of(model), "config": json.dumps(model.config())}
    write_tensors(path, tensors_of(model), metadata)


def require_described(model: Model) -> None:
    """Raise CheckpointError unless a model of the configuration has tensors of the same shapes."""
    with meta():
        twin = build(name_of(model), **model.config())
    shapes = {name: tensor.shape for name, tensor in twin.state_dict().items()}
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if shapes != own:
        name = next(name for name in (own | shapes) if own.get(name) != shapes.get(name))
        raise CheckpointError(
            f"save_weights: {name} is {own.get(name)}, but the {name_of(model)} that config() describes has "
            f"{shapes.get(name)}: it could not be loaded. tinytorch.compile(model).save(path) keeps any."
        )


def load_weights(path: str | Path) -> Model:
    """The model that a file of `save_weights` describes, in evaluation mode.

    Raises CheckpointError for a file that is missing, cut off, of another kind or does not fit its model.
    """
    tensors, metadata = read_tensors(path)
    try:
        config = json.loads(metadata["config"])
        model = build(metadata["model"], **config)
        model.load_state_dict(tensors)
    except KeyError as error:
        raise CheckpointError(
            f"{path}: names no {error.args[0]}: not written by save_weights. "
            "Build the model and use load_state_dict instead."
        ) from None
    except (TinyTorchError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    model.eval()
    return model


def load_pretrained(name: str) -> Model:
    """The model of that name with the weights that ship with the package; see `names`.

    Raises CheckpointError where there are none.
    """
    path = _SHIPPED / f"{name}.safetensors"
    if name not in names() or not path.is_file():
        shipped = sorted(p.stem for p in _SHIPPED.glob("*.safetensors"))
        raise CheckpointError(f"no weights ship for {name!r}; there are: {', '.join(shipped) or 'none'}")
    return load_weights(path)
