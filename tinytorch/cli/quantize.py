"""`tito quantize`: a model on codes, in a file of its own, and what it lost and gained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from tinytorch import console
from tinytorch.cli.smaller import loaded_for, save_program, say_sizes, say_tested


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
    from tinytorch.quantization.quantize import quantize
    from tinytorch.quantization.samples import splits_for
    from tinytorch.quantization.scheme import scheme_of
    from tinytorch.threads import set_num_threads

    set_num_threads(threads)
    chosen = scheme_of(scheme)
    model = loaded_for(checkpoint, batch, out)
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
    say_tested(model, made, splits.test, lambda: save_program(made, out))
    say_sizes(model, out)
