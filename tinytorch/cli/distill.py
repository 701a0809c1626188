"""`tito distill`: a small model that learns from what a larger one says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tinytorch import console
from tinytorch.cli.smaller import WEIGHTS, loaded_for, save_program, say_sizes, say_tested
from tinytorch.errors import CompressionError

if TYPE_CHECKING:
    from tinytorch.models.registry import Model


@click.command(name="distill")
@click.argument("teacher", metavar="TEACHER")
@click.option(
    "--student",
    default="mlp",
    show_default=True,
    help="The model to train: mlp:784-32-10 by its sizes, cnn:4-8-16 by channels and hidden, or a file.",
)
@click.option("--data", required=True, metavar="SET", help="Data set to train, choose and test on.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File for the student's weights ({WEIGHTS}), or else for its program.",
)
@click.option("--epochs", type=click.IntRange(1), default=15, show_default=True, help="Of training.")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), default=4.0, show_default=True)
@click.option(
    "--hard", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of the labels."
)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=3e-3, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="To compute with.")
def command(
    teacher: str,
    student: str,
    data: str,
    out: Path,
    epochs: int,
    temperature: float,
    hard: float,
    lr: float,
    seed: int,
    threads: int,
) -> None:
    """Distil TEACHER, a .safetensors file of weights or mlp or cnn as they ship, into a smaller student.

    The epoch that is best on validation data is kept; the test data is looked at once, for the figure at the
    end, which is the teacher's beside the student's.

    \b
    tito distill cnn --student mlp:784-32-10 --data fashion --out student.safetensors
    """
    from dataclasses import replace

    from tinytorch import compile
    from tinytorch.compression.distill import RECIPE, distill
    from tinytorch.compression.loaders import material_for
    from tinytorch.models import GPT
    from tinytorch.threads import set_num_threads

    set_num_threads(threads)
    model = loaded_for(teacher, None, out)
    if isinstance(model, GPT):
        raise CompressionError("distill: takes teachers that classify images; in code, any module")
    material = material_for(model, data, seed)
    small = _student(student, seed)
    history = distill(
        small,
        model,
        material.train,
        epochs=epochs,
        validation=cast("Any", material.splits.validation),
        temperature=temperature,
        hard=hard,
        recipe=replace(RECIPE, lr=lr),
        compile=compile,
        seed=seed,
        keep_best="accuracy",
    )
    if history.interrupted:
        raise KeyboardInterrupt
    console.say(f"teacher: {model.num_parameters():,} parameters, student: {small.num_parameters():,}")
    say_tested(model, small, material.splits.test, lambda: save_program(small, out))
    say_sizes(model, out)


def _student(text: str, seed: int) -> Model:
    """A fresh model by name and sizes, or one from a file."""
    from tinytorch import models
    from tinytorch.random import Generator

    name, colon, sizes = text.partition(":")
    if text.endswith(WEIGHTS):
        return models.load_weights(text)
    generator = Generator(seed)
    try:
        numbers = [int(size) for size in sizes.split("-")] if colon else []
        if not all(number > 0 for number in numbers):
            raise ValueError(sizes)
        if name == "mlp":
            return models.build("mlp", **({"sizes": numbers} if numbers else {}), generator=generator)
        if name == "cnn" and len(numbers) in (0, 3):
            given = {"channels": numbers[:2], "hidden": numbers[2]} if numbers else {}
            return models.build("cnn", **given, generator=generator)
    except ValueError:
        pass
    raise CompressionError(
        f"distill: no student {text!r}; expected mlp:784-32-10, cnn:4-8-16, or a {WEIGHTS} file"
    )
