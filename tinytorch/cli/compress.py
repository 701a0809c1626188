"""`tito compress`: the whole pipeline under a budget of size and loss; exit code 1 where it is not met."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import click

from tinytorch import console
from tinytorch.cli.smaller import loaded_for, say_sizes, say_tested


def _ratio(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """20x or 20."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", value)
    if found is None or not float(found[1]) > 1:
        raise click.BadParameter(f"{value!r} is no target; say how many times smaller, as in 20x")
    return float(found[1])


@click.command(name="compress")
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option(
    "--target", callback=_ratio, default="20x", show_default=True, help="How many times smaller the file is."
)
@click.option(
    "--max-loss",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    help="Lost at most on validation data: points of accuracy, or % of the loss of text.",
)
@click.option("--data", required=True, metavar="SET", help="Data set to train, choose and test on.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the program, entropy-coded; tinytorch.load_program reads it.",
)
@click.option("--epochs", type=click.IntRange(1), default=15, show_default=True, help="Of a round.")
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Of the search, at most."
)
@click.option(
    "--clusters", type=click.IntRange(1, 255), default=16, show_default=True, help="Numbers a layer."
)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=3e-3, show_default=True)
@click.option("--batch", type=click.IntRange(1), help="Samples that the program takes at a time.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="To compute with.")
def command(
    checkpoint: str,
    target: float,
    max_loss: float,
    data: str,
    out: Path,
    epochs: int,
    rounds: int,
    clusters: int,
    lr: float,
    batch: int | None,
    seed: int,
    threads: int,
) -> int:
    """Compress CHECKPOINT, a .safetensors file of weights or mlp, cnn or gpt as they ship.

    Prune, fine-tune, share, put on codes, encode: what each step left is shown. Choices are made on
    validation data, and the test data is looked at once, for the figure at the end. Where the budget cannot
    be met the best that was found is written all the same, and the exit code is 1.

    \b
    tito compress mlp --target 20x --max-loss 0.5 --data fashion --out mlp.ttc
    """
    from tinytorch.compression.compressor import Compressor
    from tinytorch.compression.loaders import material_for
    from tinytorch.threads import set_num_threads

    set_num_threads(threads)
    model = loaded_for(checkpoint, batch, out)
    material = material_for(model, data, seed)
    found = Compressor(
        model,
        material.train,
        cast("Any", material.splits.validation),
        target_ratio=target,
        max_loss=max_loss / 100,
        epochs=epochs,
        lr=lr,
        clusters=clusters,
        rounds=rounds,
        seed=seed,
    ).run()
    console.say(repr(found))
    say_tested(model, found.model, material.splits.test, lambda: found.save(out))
    say_sizes(model, out)
    return 0 if found.met else 1
