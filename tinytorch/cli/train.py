"""`tito train`: one model on one data set by a recipe; it stops and goes on at will."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tinytorch import console
from tinytorch.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytorch.data.registry import ImageName
    from tinytorch.models.registry import Model
    from tinytorch.training import History, Trainer
    from tinytorch.training.metrics import Batch
    from tinytorch.training.recipes import Recipe


@click.command(name="train")
@click.argument("model", type=click.Choice(["mlp", "cnn", "gpt"]))
@click.option("--data", required=True, metavar="SET", help="Data set; tito data list names them.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training data.")
@click.option("--steps", type=click.IntRange(1), help="Updates of the weights, in place of --epochs.")
@click.option("--batch", type=click.IntRange(1), help="Samples a step.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Highest learning rate.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Of first weights and order; 0 if not said.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of weights to begin with, in place of random ones.",
)
@click.option("--compile", "compiled", is_flag=True, help="Make programs of the step: the same, faster.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for results, or runs/MODEL-SET."
)
@click.option("--resume", is_flag=True, help="Go on with the run in that folder, with its settings.")
@click.option("--threads", type=click.IntRange(1), help="Threads to compute with.")
def command(
    model: str,
    data: str,
    epochs: int | None,
    steps: int | None,
    batch: int | None,
    lr: float | None,
    seed: int | None,
    weights: Path | None,
    compiled: bool,
    out: Path | None,
    resume: bool,
    threads: int | None,
) -> None:
    """Train MODEL on a data set and say how well it does on the test data.

    Weights are chosen by the validation data; the test data is looked at once, at the end. What is not said
    comes from a recipe for the model and the set. Ctrl-C stops after the current step; --resume goes on.
    """
    from tinytorch.random import manual_seed
    from tinytorch.threads import set_num_threads
    from tinytorch.training.recipes import recipe_for

    if epochs is not None and steps is not None:
        raise click.UsageError("say how long by --epochs or by --steps, not both")
    if model == "gpt" and epochs is not None:
        raise click.UsageError("text is trained on for a number of --steps, not --epochs")
    recipe = recipe_for(model, data)
    if weights is not None:
        _weights_of(model, weights)  # what cannot be taken is refused before anything is written
    folder = out or Path("runs") / f"{model}-{data}"
    given = {
        "model": model,
        "data": data,
        "epochs": epochs,
        "steps": steps,
        "batch": batch,
        "lr": lr,
        "seed": seed,
        "weights": None if weights is None else str(weights),
        "compile": compiled or None,
    }
    settings = _resumed(folder, given) if resume else _fresh(folder, given, recipe)
    recipe = replace(recipe, **{name: settings[name] for name in ("epochs", "steps", "batch", "lr")})
    if threads is not None:
        set_num_threads(threads)
    manual_seed(settings["seed"])
    begin = settings["weights"] and Path(settings["weights"])
    run = Run(model, data, recipe, settings["seed"], begin, settings["compile"], folder, resume)
    result = _train_text(run) if model == "gpt" else _train_images(run)
    _finish(folder, settings, result)


@dataclass
class Run:
    """What to train, how, and where the results go."""

    model: str
    data: str
    recipe: Recipe
    seed: int
    weights: Path | None
    compile: bool
    folder: Path
    resume: bool


@dataclass
class Result:
    """A trained model, how it came about, its figures on test data, and figures to set beside them."""

    network: Model
    history: History
    test: dict[str, float]
    beside: dict[str, float] = field(default_factory=dict)


# ---------------------------------------------------------------- settings


def _fresh(folder: Path, given: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The settings of a new run, from the command line and the recipe, written down; old results go."""
    from tinytorch.training import write_whole

    if (folder / "checkpoint.safetensors").exists() and not (folder / "history.json").exists():
        raise CheckpointError(
            f"{folder}: holds a run that was stopped. Go on with --resume, or choose another --out."
        )
    defaults = {
        "epochs": recipe.epochs,
        "steps": recipe.steps,
        "batch": recipe.batch,
        "lr": recipe.lr,
        "seed": 0,
        "weights": None,
        "compile": False,
    }
    if given["epochs"] is not None or given["steps"] is not None:
        defaults |= {"epochs": None, "steps": None}
    settings = defaults | {name: value for name, value in given.items() if value is not None}
    for old in ("history.json", "weights.safetensors", "checkpoint.safetensors"):
        (folder / old).unlink(missing_ok=True)
    write_whole(folder / "settings.json", json.dumps(settings, indent=1).encode())
    return settings


def _resumed(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that the run in a folder began with; raises CheckpointError where others are given."""
    try:
        found: dict[str, Any] = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        missing = given.keys() - found.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder}: holds no run to go on with: {error}") from None
    if missing:
        raise CheckpointError(f"{folder}: settings.json lacks {', '.join(sorted(missing))}")
    for name, value in given.items():
        if value is not None and value != found[name]:
            raise CheckpointError(f"{folder}: its run has {name} {found[name]}, not {value}; leave that out")
    return found


# ---------------------------------------------------------------- training


def _train_images(run: Run) -> Result:
    """Train a classifier; it is judged by accuracy."""
    from tinytorch import data
    from tinytorch.data import DataLoader
    from tinytorch.nn import CrossEntropyLoss
    from tinytorch.training import Accuracy, evaluate

    recipe = run.recipe
    splits = {
        split: data.load(cast("ImageName", run.data), split) for split in ("train", "validation", "test")
    }
    changes = [data.random_flip()] if recipe.flip else []
    changes += [data.random_crop(recipe.shift)] if recipe.shift else []
    loader = DataLoader(
        splits["train"],
        recipe.batch,
        shuffle=True,
        seed=run.seed,
        transform=data.compose(*changes) if changes else None,
        prefetch=2,
    )
    network = _network(run)
    trainer = _trainer(
        run,
        network,
        recipe.steps or (recipe.epochs or 0) * len(loader),
        loss=CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
        metrics=[Accuracy()],
        keep_best="accuracy",
        checkpoint_every=1000,
    )
    history = _fit(run, trainer, loader, DataLoader(splits["validation"], 500))
    test = evaluate(network, DataLoader(splits["test"], 500), CrossEntropyLoss(), [Accuracy()])
    return Result(network, history, test)


def _train_text(run: Run) -> Result:
    """Train a language model on bytes; it is judged by bits per byte, beside n-grams and xz."""
    from tinytorch import data
    from tinytorch.data import DataLoader, RandomWindows, Subset, TextWindows
    from tinytorch.models import GPT
    from tinytorch.training import BitsPerByte, Stream, next_token_loss, sliding_bits

    recipe = run.recipe
    splits = {split: data.load("pydocs", split).text for split in ("train", "validation", "test")}
    network = _network(run)
    assert isinstance(network, GPT)
    windows = TextWindows(splits["validation"], network.context)
    spread = range(0, len(windows), max(1, len(windows) // 256))
    total = recipe.steps or 1
    trainer = _trainer(
        run,
        network,
        total,
        loss=next_token_loss,
        metrics=[BitsPerByte()],
        keep_best="loss",
        checkpoint_every=100,
        evaluate_every=max(50, total // 10),
    )
    loader = Stream(RandomWindows(splits["train"], network.context, recipe.batch, run.seed))
    history = _fit(run, trainer, loader, DataLoader(Subset(windows, spread), 16))
    lines = data.baselines()["test"]
    beside = {name: lines[name] for name in ("3-gram", "5-gram", "xz")}
    return Result(
        network, history, {"bits_per_byte": sliding_bits(network, splits["test"], network.context)}, beside
    )


def _network(run: Run) -> Model:
    """The model with the weights that the run begins with."""
    from tinytorch import models

    if run.weights is None:
        return models.build(run.model, **run.recipe.config)
    return _weights_of(run.model, run.weights)


def _weights_of(model: str, path: Path) -> Model:
    """The model in a file; raises CheckpointError where that holds another one."""
    from tinytorch import models
    from tinytorch.models.registry import name_of

    network = models.load_weights(path)
    if name_of(network) != model:
        raise CheckpointError(f"{path}: weights of model {name_of(network)}, not of {model}")
    return network


def _trainer(run: Run, network: Model, total: int, **options: Any) -> Trainer:
    """A Trainer by the recipe, for `total` steps."""
    from tinytorch import compile
    from tinytorch.training import Trainer
    from tinytorch.training.recipes import optimizer_for, schedule_for

    optimizer = optimizer_for(network, run.recipe)
    return Trainer(
        network,
        optimizer,
        schedule=schedule_for(optimizer, run.recipe, total),
        clip=run.recipe.clip,
        compile=compile if run.compile else None,
        checkpoint=run.folder / "checkpoint.safetensors",
        description=f"{run.model} on {run.data}",
        **options,
    )


def _fit(run: Run, trainer: Trainer, loader: Iterable[Batch], validation: Iterable[Batch]) -> History:
    """Train; raises KeyboardInterrupt once the checkpoint is written, where Ctrl-C came."""
    history = trainer.fit(loader, run.recipe.epochs, run.recipe.steps, validation, run.resume)
    if history.interrupted:
        console.notice(
            f"stopped after step {trainer.progress.step:,}; the same command with --resume goes on"
        )
        raise KeyboardInterrupt
    return history


# ---------------------------------------------------------------- results


def _finish(folder: Path, settings: dict[str, Any], result: Result) -> None:
    """Write weights and history, and say how it went."""
    from tinytorch import models
    from tinytorch.training import write_whole

    history = result.history
    said = [
        f"--{name} {settings[name]}"
        for name in ("epochs", "steps", "batch", "lr", "seed", "weights")
        if settings[name] is not None
    ] + ["--compile"] * settings["compile"]
    words = f"tito train {settings['model']} --data {settings['data']} {' '.join(said)}"
    models.save_weights(result.network, folder / "weights.safetensors", {"command": words})
    report = {"command": words, "settings": settings, "test": result.test, **history.to_dict()}
    write_whole(folder / "history.json", json.dumps(report).encode())
    figure = "accuracy" if "accuracy" in result.test else "bits_per_byte"
    name = figure.replace("_", " ")
    best = history.best(figure, higher_is_better=figure == "accuracy")
    rows = [
        ["steps", f"{history.steps[-1]:,}"],
        ["training time", f"{history.seconds[-1]:.1f} s"],
        ["parameters", f"{result.network.num_parameters():,}"],
        [f"validation {name}, best", f"{best[figure]:.4f} (step {best['step']:,})"],
        [f"test {name}", f"{result.test[figure]:.4f}"],
        *([f"  {other}", f"{value:.4f}"] for other, value in result.beside.items()),
    ]
    console.say(words)
    console.table("", ["result", "figure"], rows, note=f"Weights and history are in {folder}")
