"""Safetensors files that appear whole or not at all, and the weights of a model in one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tinytorch.errors import CheckpointError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array


def write_whole(path: str | Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file under a temporary name in its folder, flush it to disk (fsync), then rename it.

    `content`: its bytes, or pieces of them that are written as they are made.

    A crash, a full disk or Ctrl-C leaves what was there before, and no temporary file where the process goes
    on. Folders that are missing are made. Raises CheckpointError, with the path in it, for an OSError.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.writelines((content,) if isinstance(content, bytes) else content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror or error}); what was there before is unchanged. "
            "Free some space or choose another folder."
        ) from error


def require_writable(path: str | Path) -> None:
    """Raise CheckpointError now, not after minutes of work, where a file cannot be written."""
    target = Path(path)
    probe = target.with_name(f".{target.name}.probe")
    write_whole(probe, b"")
    probe.unlink()


def write_tensors(path: str | Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays and metadata as one safetensors file, whole or not at all; raises CheckpointError."""
    write_whole(path, save(dict(tensors), dict(metadata)))


def read_tensors(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata of a safetensors file; raises CheckpointError for a file that is none."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def tensors_of(model: Module) -> dict[str, Array]:
    """Parameters and buffers by name, a tied one once, as arrays that share the model's memory."""
    return {name: t.data for name, t in [*model.named_parameters(), *model.named_buffers()]}


def save_weights(model: Module, path: str | Path) -> None:
    """Write the parameters and buffers of a model to a safetensors file, whole or not at all.

    Raises CheckpointError where it cannot be written; what was there before is then unchanged.

    >>> from tinytorch.nn import Linear
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> save_weights(Linear(2, 3), f"{folder.name}/linear.safetensors")
    >>> sorted(read_tensors(f"{folder.name}/linear.safetensors")[0])
    ['bias', 'weight']
    >>> folder.cleanup()
    """
    write_tensors(path, tensors_of(model), {})


def load_weights(model: Module, path: str | Path) -> None:
    """Copy the weights of a safetensors file into a model of the same names and shapes.

    Raises CheckpointError, and changes nothing, for a file that is damaged or does not fit.
    """
    tensors, _ = read_tensors(path)
    try:
        model.load_state_dict(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
