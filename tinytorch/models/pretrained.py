"""Weights of a model in a safetensors file, with the configuration that the model is rebuilt from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tinytorch.errors import CheckpointError, TinyTorchError
from tinytorch.models.registry import Model, build, name_of, names
from tinytorch.training.files import read_tensors, tensors_of, write_tensors

_SHIPPED = Path(__file__).parent / "weights"


def save_weights(model: Model, path: str | Path, info: Mapping[str, str] | None = None) -> None:
    """Write parameters and buffers (a tied one once), the configuration and `info` to a safetensors file.

    The file appears whole or not at all. Raises CheckpointError where it cannot be written.
    """
    metadata = {**(info or {}), "model": name_of(model), "config": json.dumps(model.config())}
    write_tensors(path, tensors_of(model), metadata)


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
