"""`tito optimize`: an entry to TinyMLPerf made with the tools of lessons 16 to 18, in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from tinytorch import console


@click.command(name="optimize")
@click.argument("event_name", metavar="EVENT")
@click.option(
    "--for", "aim", type=click.Choice(["overall", "speed", "size"]), default="overall", show_default=True
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The entry's .toml file, by default EVENT.toml; the program is written beside it.",
)
@click.option("--team", default="local", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="To compute with.")
def command(event_name: str, aim: str, out: Path | None, team: str, threads: int) -> None:
    """Make a closed entry to EVENT: a recipe that keeps the quality which its gate asks for.

    Recipes are tried on validation data, the boldest first. The file is a description to go on from.

    \b
    tito optimize mlp_sprint --for overall --team me
    tito bench submit mlp_sprint.toml
    """
    from tinytorch.benchmarking.entry import parse
    from tinytorch.benchmarking.events import event
    from tinytorch.benchmarking.optimize import optimize
    from tinytorch.threads import set_num_threads
    from tinytorch.training import require_writable, write_whole

    set_num_threads(threads)
    one = event(event_name)
    target = out or Path(f"{event_name}.toml")
    program = target.with_suffix(".ttc")
    parse(f'event = "{event_name}"\nteam = {_quoted(team)}\ndivision = "closed"'.encode())
    for path in (target, program):
        require_writable(path)
    found = optimize(one, cast("Any", aim))
    write_whole(program, found.program)
    write_whole(target, found.description(team).encode())
    console.say(
        f"{target}: {len(found.steps)} steps; on validation data {100 * found.kept:.2f} % of the "
        f"{one.quality} is kept"
    )
    console.say(f"{program}: {len(found.program):,} bytes, what the steps make")
    console.say(f"Next: tito bench run {target}")


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=True)
