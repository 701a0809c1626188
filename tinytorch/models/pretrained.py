"""Weights of a model in a safetensors file, with the configuration that the model is rebuilt from."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tinytorch.errors import CheckpointError, TinyTorchError
from tinytorch.models.registry import Model, build, name_of, names
from tinytorch.ops.spec import Array

_SHIPPED = Path(__file__).parent / "weights"


def save_weights(model: Model, path: str | Path, info: Mapping[str, str] | None = None) -> None:
    """Write parameters and buffers (a tied one once), the configuration and `info` to a safetensors file.

    The file appears whole or not at all. Raises CheckpointError where it cannot be written.
    """
    path = Path(path)
    tensors = {name: t.numpy() for name, t in [*model.named_parameters(), *model.named_buffers()]}
    metadata = {**(info or {}), "model": name_of(model), "config": json.dumps(model.config())}
    content = save(tensors, metadata)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            part = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                file.close()
                os.replace(part, path)
            except BaseException:
                file.close()
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written: {error}. What was there before is unchanged."
        ) from error


def load_weights(path: str | Path) -> Model:
    """The model that a file of `save_weights` describes, in evaluation mode.

    Raises CheckpointError for a file that is missing, cut off, of another kind or does not fit its model.
    """
    tensors, metadata = _read(Path(path))
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


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}") from error
