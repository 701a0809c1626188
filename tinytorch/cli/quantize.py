"""`tito quantize`: a model on codes, in a file of its own, and what it lost and gained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from tinytorch import console
from tinytorch.errors import QuantizationError


@click.command(name="quantize")
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option("--scheme", default="int8", show_default=True, help="int8, int4-g128, mixed, float16, ...")
@click.option("--data", required=True, metavar="SET", help="Data set to calibrate, choose and test on.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the program, entropy-coded; tinytorch.load_program reads it.",
)
@click.option(
    "--prefer",
    type=click.Choice(["speed", "size"]),
    help="Leave slower layers in float32, or not; speed for int8, else size.",
)
@click.option("--max-loss", type=click.FloatRange(0), default=0.003, show_default=True, help="Lost at most.")
@click.option("--batch", type=click.IntRange(1), help="Samples that the program takes at a time.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="To compute with.")
def command(
    checkpoint: str,
    scheme: str,
    data: str,
    out: Path,
    prefer: str | None,
    max_loss: float,
    batch: int | None,
    threads: int,
) -> None:
    """Quantize CHECKPOINT, a .safetensors file of weights or mlp, cnn or gpt as they ship.

    Ranges come from training data, choices are made on validation data, and the test data is looked at
    once, for the figure at the end.

    \b
    tito quantize mlp --scheme int8 --data fashion --out mlp.ttc
    tito quantize runs/cnn-fashion-full/weights.safetensors --scheme mixed --data fashion-full --out cnn.ttc
    """
    from tinytorch.models import CNN, GPT, MLP
    from tinytorch.profiling.load import load
    from tinytorch.quantization.quantize import quantize
    from tinytorch.quantization.samples import splits_for, tested
    from tinytorch.quantization.scheme import scheme_of
    from tinytorch.threads import set_num_threads
    from tinytorch.training.files import require_writable

    set_num_threads(threads)
    chosen = scheme_of(scheme)
    require_writable(out)
    loaded = load(checkpoint, batch)
    model = loaded.function
    if not isinstance(model, MLP | CNN | GPT):
        raise QuantizationError(f"{checkpoint}: takes .safetensors files of save_weights, mlp, cnn and gpt")
    if loaded.args is not None:
        model.example_input = loaded.args[0]
    splits = splits_for(model, data)
    choice = prefer or ("speed" if chosen.bits == 8 and chosen.name != "mixed" else "size")
    made = quantize(
        model,
        splits.calibration,
        chosen,
        validation=splits.validation,
        prefer=cast("Any", choice),
        max_loss=max_loss,
    )
    console.say(repr(made.report()))
    found = tested(model, made, splits.test)
    _save(made, out)
    console.say("")
    console.say(_words(found))
    console.say(_sizes(model, out))


def _save(made: Any, out: Path) -> None:
    """Write the program that the model is on its example input."""
    from tinytorch import compile
    from tinytorch.autograd import no_grad

    program = compile(made)
    with no_grad():
        program(made.example_input)
    program.save(out, compact=True)


def _words(found: Any) -> str:
    """The figure on test data, before and after."""
    lost, unit = found.lost, " %" if found.name == "bits per byte" else " points"
    text = ", ".join(f"{100 * value:+.2f}" for value in (lost.low, lost.high))
    return (
        f"test: {found.name} {found.before:.4f} before, {found.after:.4f} after: "
        f"{100 * lost.value:+.2f}{unit} lost [{text}]"
    )


def _sizes(model: Any, out: Path) -> str:
    """The file beside the float32 weights as safetensors."""
    from safetensors.numpy import save

    from tinytorch.profiling.words import size
    from tinytorch.training.files import tensors_of

    whole, now = len(save(tensors_of(model))), out.stat().st_size
    return f"file: {size(now)} in {out}, {whole / now:.2f}x smaller than {size(whole)} of float32 safetensors"
