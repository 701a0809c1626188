"""`tito ladder`: the same computation from loops in Python up to registers and cores, each rung timed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tinytorch import console


@click.command(name="ladder")
@click.argument("kind", metavar="KIND")
@click.option(
    "--size", type=int, help="Size of the matrices or image: 256 for matmul, 32 conv, 4096 softmax."
)
@click.option("--seconds", type=float, default=1.0, show_default=True, help="Time for each rung, about.")
@click.option(
    "--patience",
    type=float,
    default=60.0,
    show_default=True,
    help="Leave out a loop in Python of which one run takes more seconds.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write all samples and figures as JSON.",
)
def command(kind: str, size: int | None, seconds: float, patience: float, json_file: Path | None) -> None:
    """Climb the ladder of KIND: matmul, conv or softmax.

    Each rung is checked against a float64 reference and timed. It is held to this machine's measured peak,
    to the rung below, to the first one, and to plain NumPy.

    \b
    tito ladder matmul --size 256
    tito ladder conv
    """
    from tinytorch.acceleration.ladder.climb import measure
    from tinytorch.training import write_whole

    report = measure(kind, size, seconds=seconds, patience=patience)
    console.say(repr(report))
    if json_file is not None:
        write_whole(json_file, json.dumps(report.as_dict(), indent=1).encode())
        console.notice(f"wrote {json_file}")
