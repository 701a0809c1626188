"""What `tito profile` is asked for: a model by name, a checkpoint, or an object in the user's own file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tinytorch import models
from tinytorch.errors import ProfilingError
from tinytorch.nn.module import Module
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

BESIDE = "example_input"  # a variable of this name in the user's file is the object's input


@dataclass(frozen=True)
class Loaded:
    """Something to profile: what to call, with which inputs (None: its own), and whether it is PyTorch's."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] | None
    is_torch: bool = False


def load(what: str, batch: int | None = None, seq: int | None = None) -> Loaded:
    """The model or callable that `what` names, with inputs of the batch size and sequence length asked for.

    `what`: "mlp", "cnn", "gpt" (with the weights that ship), "minilm" (fetched before), a .safetensors file
    of `save_weights`, or "path/to/file.py:object". Raises ProfilingError where there is no such thing, and
    where a batch or length is asked for that its inputs do not have.

    >>> load("mlp", batch=4).args[0].shape
    (4, 784)
    """
    file, colon, name = what.rpartition(":")
    if colon and file.endswith(".py"):
        loaded = _from_file(Path(file), name)
    elif what == "minilm":
        loaded = Loaded(what, models.load_minilm(), None)
    elif what in models.names():
        loaded = Loaded(what, models.load_pretrained(what), None)
    elif what.endswith(".safetensors"):
        loaded = Loaded(Path(what).stem, models.load_weights(what), None)
    else:
        raise ProfilingError(
            f"{what!r} is no model: give {', '.join(models.names())}, minilm, a .safetensors file of "
            "save_weights, or path/to/file.py:object"
        )
    return _resized(loaded, batch, seq)


def _from_file(path: Path, name: str) -> Loaded:
    """An object of a Python file: a model, a class of models without arguments, or any callable."""
    module = _execute(path)
    found = vars(module).get(name)
    if found is None:
        public = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise ProfilingError(f"{path}: has no {name!r}; there are: {', '.join(public) or 'no callables'}")
    if inspect.isclass(found):
        found = found()
    if not callable(found):
        raise ProfilingError(f"{path}: {name} is {type(found).__name__}, neither a model nor a function")
    given = vars(module).get(BESIDE)
    args = None if given is None else given if isinstance(given, tuple) else (given,)
    if isinstance(found, Module):
        if args is None and found.example_input is None:
            raise ProfilingError(
                f"{path}: {name} needs inputs: set a variable {BESIDE} beside it, a tensor or a tuple"
            )
    elif not _is_torch(found) and args is not None and not _takes(found, args):
        args = None  # they are another object's
    return Loaded(name, found, args, _is_torch(found))


def _takes(function: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether a function takes these arguments, or lacks some without them; True where it does not say."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return True
    try:
        signature.bind(*args)
    except TypeError:
        return any(p.default is p.empty and p.kind < p.VAR_POSITIONAL for p in signature.parameters.values())
    return True


def located(error: BaseException, path: Path) -> str:
    """An error in a word, with the last line of the file that it came through.

    >>> located(ValueError("x"), Path("own.py"))
    'ValueError: x'
    """
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == path.name]
    if isinstance(error, SyntaxError) and error.lineno is not None:
        lines.append(error.lineno)
    where = f" ({path.name}, line {lines[-1]})" if lines else ""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {said}{where}"


def _execute(path: Path) -> ModuleType:
    if not path.is_file():
        raise ProfilingError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ProfilingError(f"{path}: cannot be run: {located(error, path)}") from error
    finally:
        sys.path.pop(0)
    return module


def _is_torch(found: object) -> bool:
    torch = sys.modules.get("torch")  # a PyTorch module cannot be there before PyTorch is
    return torch is not None and isinstance(found, torch.nn.Module)


def _resized(loaded: Loaded, batch: int | None, seq: int | None) -> Loaded:
    """Inputs of another batch size or length: random ones of the example's kind."""
    if batch is None and seq is None:
        return loaded
    model = loaded.function
    example = loaded.args[0] if loaded.args is not None and len(loaded.args) == 1 else None
    if isinstance(model, Module) and loaded.args is None:
        example = model.example_input
    if not isinstance(model, Module) or not isinstance(example, Tensor):
        raise ProfilingError(f"{loaded.name}: --batch and --seq need a TinyTorch model of one input tensor")
    shape = list(example.shape)
    if seq is not None and (len(shape) < 2 or example.dtype.kind != "i"):
        raise ProfilingError(f"{loaded.name}: its input {example.shape} has no sequence axis for --seq")
    for axis, size in ((0, batch), (1, seq)):
        if size is not None:
            if size < 1:
                raise ProfilingError(f"{loaded.name}: a batch or length of {size}; expected 1 or more")
            shape[axis] = size
    return Loaded(loaded.name, model, (_random(example, tuple(shape)),))


def _random(example: Tensor, shape: tuple[int, ...]) -> Tensor:
    generator = Generator(0)
    if example.dtype.kind == "i":
        return generator.randint(0, max(2, int(example.data.max())), shape)
    return generator.rand(*shape, dtype=example.dtype)
