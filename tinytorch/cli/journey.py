"""`tito journey`: train the models, profile, compile and compress them, and find all of it on one page."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tinytorch import console

ALL = "all"


@click.command(name="journey")
@click.argument("model", default=ALL, metavar="[mlp|cnn|gpt|all]")
@click.option("--quick", is_flag=True, help="Fewer steps, a part of the test data: about three minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("journey"),
    show_default=True,
    help="Folder for the report.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of all that is drawn."
)
# More threads gain these small models a fifth at best, and cost them threefold where a core is busy.
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads to compute with."
)
@click.option(
    "--picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw an SVG of the run, too."
)
def command(model: str, quick: bool, out: Path, seed: int, threads: int, picture: Path | None) -> None:
    """Train an MLP and a CNN on images and a GPT on text; then make them fast, small, and compete.

    All three take about 10 minutes on two free cores. The report is one page that needs nothing else,
    index.html, with all figures in journey.json beside it.
    """
    from tinytorch import models
    from tinytorch.journey import FULL, QUICK, take_journey
    from tinytorch.journey.report import say_summary
    from tinytorch.journey.run import STAGES
    from tinytorch.threads import set_num_threads

    names = models.names() if model == ALL else [model]
    words = ["tito", "journey", *([model] if model != ALL else []), *(["--quick"] if quick else [])]
    words += [f"--seed={seed}"] if seed else []
    words += [f"--threads={threads}"] if threads != 1 else []
    set_num_threads(threads)
    journey = take_journey(
        names, out, scale=QUICK if quick else FULL, seed=seed, command=shlex.join(words), picture=picture
    )
    say_summary(journey, STAGES)
    console.say(f"Report: {out / 'index.html'}")
