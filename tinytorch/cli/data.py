"""`tito data`: which data sets there are, what is known of them, and how to get those that do not ship."""

from pathlib import Path

import click

from tinytorch import console
from tinytorch.errors import DataError

HERE = "ships with TinyTorch"


@click.group(name="data")
def command() -> None:
    """List, describe and fetch data sets."""


@command.command(name="list")
def list_sets() -> None:
    """List the data sets, their sizes and where they are."""
    from tinytorch import data

    rows = []
    for name in data.names():
        facts = data.info(name)
        counts = [f"{facts.splits[split]:,}" for split in ("train", "validation", "test")]
        rows.append([name, *counts, _place(name) or f"tito data get {name}"])
    columns = ["name", "train", "validation", "test", "where"]
    console.table("Data sets (images, or bytes of text)", columns, rows, "More of one: tito data info NAME")


@command.command()
@click.argument("name")
def info(name: str) -> None:
    """Show the datasheet of the data set NAME."""
    from tinytorch import data

    facts = data.info(name)
    console.say(facts.datasheet.rstrip())
    console.say(f"\nOn this machine: {_place(name) or f'no; tito data get {name}'}")


@command.command()
@click.argument("name")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    help="Take the files from this folder, not the network.",
)
def get(name: str, folder: Path | None) -> None:
    """Put the data set NAME where TinyTorch finds it: by download, or from a folder."""
    from tinytorch import data

    if data.info(name).embedded:
        console.say(f"{name} {HERE}; there is nothing to get")
        return
    if folder is not None:
        console.say(f"{name}: checked and copied to {data.get(name, folder)}")
        return
    with console.progress(None, f"get {name}", "B") as bar:

        def report(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done)

        place = data.get(name, progress=report)
    console.say(f"{name}: checked and kept in {place}")


def _place(name: str) -> str | None:
    """Where a set is on this machine, or None."""
    from tinytorch import data

    if data.info(name).embedded:
        return HERE
    try:
        return str(data.locate(name))
    except DataError:
        return None
