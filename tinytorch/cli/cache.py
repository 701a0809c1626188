"""`tito cache`: the compiled programs that are kept on disk, and how to be rid of them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tinytorch import console

_SHOWN = 12  # digits of a fingerprint that tell programs apart
_FEW = 20  # programs that are listed unless all are wanted
_AGES = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"))


@click.group(name="cache")
def command() -> None:
    """List or clear the programs that tinytorch.compile keeps on disk.

    A program that is not there is compiled again when it is wanted. The environment variable
    TINYTORCH_CACHE names another folder.
    """


@command.command(name="list")
@click.option("--all", "every", is_flag=True, help=f"List all, not the {_FEW} that were used last.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write all of them as JSON.",
)
def list_programs(every: bool, json_file: Path | None) -> None:
    """List the programs: their size, and how long ago they were last used."""
    import time

    from tinytorch.acceleration.cache import cache_folder, entries
    from tinytorch.training import write_whole

    folder, found, now = cache_folder(), entries(), time.time()
    total = sum(entry.nbytes for entry in found)
    shown = found if every else found[:_FEW]
    if shown:
        rows = [[e.name[:_SHOWN], console.quantity(e.nbytes, "B"), age(now - e.used)] for e in shown]
        more = f"and {len(found) - len(shown):,} used before these" if len(shown) < len(found) else None
        console.table("Compiled programs", ["program", "size", "last used"], rows, more)
    console.say(f"{_programs(len(found))}, {console.quantity(total, 'B')} in {folder}")
    if json_file is not None:
        listed = [{"program": entry.name, "bytes": entry.nbytes, "last_used": entry.used} for entry in found]
        content = {"folder": str(folder), "bytes": total, "programs": listed}
        write_whole(json_file, json.dumps(content, indent=1).encode())
        console.notice(f"wrote {json_file}")


@command.command()
def clear() -> None:
    """Remove all programs."""
    from tinytorch.acceleration.cache import cache_folder
    from tinytorch.acceleration.cache import clear as remove

    folder = cache_folder()
    count, total = remove()
    console.say(f"Removed {_programs(count)}, {console.quantity(total, 'B')}, from {folder}")


def _programs(count: int) -> str:
    return f"{count:,} program{'s' if count != 1 else ''}"


def age(seconds: float) -> str:
    """How long ago something was, in its largest unit.

    >>> age(30), age(3 * 3600 + 59 * 60), age(86_400)
    ('less than a minute ago', '3 hours ago', '1 day ago')
    """
    for size, unit in _AGES:
        count = int(seconds // size)
        if count >= 1:
            return f"{count:,} {unit}{'s' if count != 1 else ''} ago"
    return "less than a minute ago"
