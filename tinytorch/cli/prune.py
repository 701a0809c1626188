"""`tito prune`: most weights of a model at zero, or whole channels gone, trained on, and what that lost."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tinytorch import console
from tinytorch.cli.smaller import WEIGHTS, loaded_for, save_program, say_sizes, say_tested

if TYPE_CHECKING:
    from tinytorch.compression.loaders import Material
    from tinytorch.compression.masks import Masks
    from tinytorch.compression.prune import Scope
    from tinytorch.models.registry import Model
    from tinytorch.nn.module import Module


@click.command(name="prune")
@click.argument("checkpoint", metavar="CHECKPOINT")
@click.option("--sparsity", type=float, default=0.7, show_default=True, help="Share of weights that goes.")
@click.option("--data", required=True, metavar="SET", help="Data set to train, choose and test on.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the program, entropy-coded, or with the ending .safetensors for weights.",
)
@click.option(
    "--scope",
    type=click.Choice(["global", "layer", "output"]),
    default="global",
    show_default=True,
    help="What shares a threshold.",
)
@click.option(
    "--score",
    type=click.Choice(["magnitude", "wanda", "movement"]),
    default="magnitude",
    show_default=True,
    help="What tells which weights go.",
)
@click.option("--structured", is_flag=True, help="Take whole filters and neurons: a smaller dense model.")
@click.option("--epochs", type=click.IntRange(0), default=5, show_default=True, help="To train on for.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=3e-3, show_default=True)
@click.option("--batch", type=click.IntRange(1), help="Samples that the program takes at a time.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="To compute with.")
def command(
    checkpoint: str,
    sparsity: float,
    data: str,
    out: Path,
    scope: str,
    score: str,
    structured: bool,
    epochs: int,
    lr: float,
    batch: int | None,
    seed: int,
    threads: int,
) -> None:
    """Prune CHECKPOINT, a .safetensors file of weights or mlp, cnn or gpt as they ship.

    Zeros come step by step while the model trains on, and stay zero; with --epochs 0 all at once. The epoch
    that is best on validation data is kept, and the test data is looked at once, for the figure at the end.

    \b
    tito prune mlp --sparsity 0.9 --data fashion --out mlp.ttc
    tito prune gpt --sparsity 0.5 --score wanda --scope output --epochs 0 --data pydocs --out gpt.ttc
    tito prune cnn --structured --sparsity 0.5 --data fashion --out half.safetensors
    """
    from tinytorch.compression.loaders import material_for
    from tinytorch.compression.masks import count_of_zeros
    from tinytorch.threads import set_num_threads

    set_num_threads(threads)
    count_of_zeros(1, sparsity)
    model = loaded_for(checkpoint, batch, out)
    material = material_for(model, data, seed)
    if structured:
        made = _smaller(model, material, sparsity, epochs, lr, out)
    else:
        made = _zeroed(model, material, sparsity, cast("Scope", scope), score, epochs, lr)
    say_tested(model, made, material.splits.test, lambda: save_program(made, out))
    say_sizes(model, out)


def _zeroed(
    model: Model, material: Material, sparsity: float, scope: Scope, score: str, epochs: int, lr: float
) -> Module:
    """Weights at zero: step by step in training, or all at once and then trained, as Wanda is meant to be."""
    from tinytorch.compression.masks import Masks
    from tinytorch.compression.prune import prune, sparsity_of, table
    from tinytorch.compression.schedule import gradual

    if epochs and score != "wanda":
        twin = copy.deepcopy(model)
        masks = Masks.full(twin)
        end = max(1, epochs * len(material.train) // 2)
        _train(twin, material, masks, epochs, lr, schedule=gradual(end, sparsity), scope=scope, score=score)
    else:
        calibration = None if score == "magnitude" else material.splits.calibration
        found = prune(model, sparsity, scope=scope, score=score, calibration=calibration, loss=material.loss)
        twin, masks = cast("Model", found.model), found.masks
        if epochs:
            _train(twin, material, masks, epochs, lr)
    console.say(table(sparsity_of(twin, masks)))
    return twin


def _smaller(model: Model, material: Material, amount: float, epochs: int, lr: float, out: Path) -> Module:
    """Channels gone; the smaller model trained on. Refuses weights that could not be loaded before that."""
    from tinytorch.compression.masks import Masks
    from tinytorch.compression.structure import shrink
    from tinytorch.models.pretrained import require_described

    found = shrink(model, None, amount)
    if out.suffix == WEIGHTS:
        require_described(cast("Model", found.model))
    console.say(repr(found.report))
    if epochs:
        _train(found.model, material, Masks(found.model, {}), epochs, lr)
    return found.model


def _train(model: Module, material: Material, masks: Masks, epochs: int, lr: float, **options: Any) -> None:
    from tinytorch import compile
    from tinytorch.compression.finetune import fine_tune

    validation = cast("Any", material.splits.validation)
    fine_tune(
        model,
        material.train,
        masks,
        epochs=epochs,
        lr=lr,
        loss=material.loss,
        validation=validation,
        keep_best="loss",
        compile=compile,
        **options,
    )
