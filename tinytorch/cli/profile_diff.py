"""`tito profile diff`: what changed between two profiles, and a gate for CI that fails where it is slower."""

from __future__ import annotations

import re
from pathlib import Path

import click

from tinytorch import console

FILE = click.Path(path_type=Path, dir_okay=False)
TOO_SLOW = 1  # the exit code where something is slower by more than the limit


def share(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A share written as 5%, 5 % or 0.05; a bare number must be below 1, so that 5 is not taken for 500 %."""
    if value is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", value)
    if found is None or (not found[2] and float(found[1]) >= 1):
        raise click.BadParameter(f"{value!r} is no share: write it as 5% or 0.05", ctx, param)
    return float(found[1]) / (100 if found[2] else 1)


@click.command(name="diff")
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@click.option(
    "--fail-over",
    callback=share,
    metavar="SHARE",
    help="Exit with 1 where a pass or module is slower by more, as 5% or 0.05, beyond chance.",
)
@click.option(
    "--least",
    callback=share,
    default="1%",
    show_default=True,
    metavar="SHARE",
    help="Modules with less than this share of a pass never fail it.",
)
def command(before: Path, after: Path, fail_over: float | None, least: float) -> None:
    """Compare two profiles of one model that `tito profile MODEL --json FILE` wrote, module by module.

    Exits with 0, or with 1 for an error or, with --fail-over, where the whole interval of a ratio is above
    the limit: of the pass, or of a module's self time.
    """
    from tinytorch.profiling.profile import Profile

    found = Profile.load(before).diff(Profile.load(after))
    console.say(repr(found))
    if fail_over is None:
        return
    slower = found.over(fail_over, least)
    if slower:
        names = ", ".join(row.path or "(root)" for row in slower)
        console.say(f"FAIL: slower by more than {100 * fail_over:g} %: {names}")
        click.get_current_context().exit(TOO_SLOW)
    console.say(f"OK: nothing is slower by more than {100 * fail_over:g} % beyond chance.")
