"""What the commands share that make a model smaller: which models they take, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch import console
from tinytorch.errors import CheckpointError

if TYPE_CHECKING:
    from tinytorch.models.registry import Model
    from tinytorch.nn.module import Module
    from tinytorch.quantization.calibrate import Batch

WEIGHTS = ".safetensors"


def loaded_for(checkpoint: str, batch: int | None, out: Path) -> Model:
    """The model of a checkpoint, with an example input of so many samples; refuses before any work is done.

    Raises CheckpointError for what is no model of the registry, and where `out` cannot be written.
    """
    from tinytorch.models import CNN, GPT, MLP
    from tinytorch.models.fetch import OTHERS
    from tinytorch.profiling.load import load
    from tinytorch.training.files import require_writable

    require_writable(out)
    refusal = CheckpointError(f"{checkpoint}: takes .safetensors files of save_weights, mlp, cnn and gpt")
    if checkpoint in OTHERS:  # whether it has been fetched does not matter
        raise refusal
    loaded = load(checkpoint, batch)
    model = loaded.function
    if not isinstance(model, MLP | CNN | GPT):
        raise refusal
    if loaded.args is not None:
        model.example_input = loaded.args[0]
    return model


def say_tested(before: Module, after: Module, test: list[Batch], save: Callable[[], None]) -> None:
    """The figure on test data before and after; written is what `save` writes, before it is said."""
    from tinytorch.quantization.samples import tested

    found = tested(before, after, test)
    save()
    lost, unit = found.lost, " %" if found.name == "bits per byte" else " points"
    text = ", ".join(f"{100 * value:+.2f}" for value in (lost.low, lost.high) if value is not None)
    console.say("")
    console.say(
        f"test: {found.name} {found.before:.4f} before, {found.after:.4f} after: "
        f"{100 * lost.value:+.2f}{unit} lost [{text}]"
    )


def save_program(made: Module, out: Path) -> None:
    """Write the program that a model is on its example input, or, with the ending WEIGHTS, its weights.

    Models on codes are no models of the registry, and always a program.
    """
    from tinytorch import compile
    from tinytorch.autograd import no_grad
    from tinytorch.models import CNN, GPT, MLP
    from tinytorch.models.pretrained import save_weights

    if out.suffix == WEIGHTS and isinstance(made, MLP | CNN | GPT):
        save_weights(made, out)
        return
    program = compile(made)
    with no_grad():
        program(made.example_input)
    program.save(out, compact=True)


def say_sizes(model: Module, out: Path) -> None:
    """The file beside the float32 weights as safetensors."""
    from tinytorch.compression.steps import weights_bytes
    from tinytorch.profiling.words import size

    whole, now = weights_bytes(model), out.stat().st_size
    console.say(
        f"file: {size(now)} in {out}, {whole / now:.2f}x smaller than {size(whole)} of float32 safetensors"
    )
