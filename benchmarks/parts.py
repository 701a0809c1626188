"""A benchmark of several parts on the command line: all of them, or those that `--only` names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import tinytorch as tt
from benchmarks.surroundings import surroundings
from tinytorch import console
from tinytorch.profiling.environment import describe

ROUNDS = 60


def run_parts(
    package: str,
    text: str | None,
    parts: Mapping[str, Callable[[int], None]],
    arguments: Sequence[str] | None,
) -> None:
    """Read the words, say what machine this is, and run the parts on one thread, each with `--rounds`."""
    words = argparse.ArgumentParser(prog=f"python -m {package}", description=text)
    words.add_argument(
        "--only", action="append", choices=list(parts), default=[], help="a part; all if not said"
    )
    words.add_argument("--rounds", type=int, default=ROUNDS, help=f"samples of each arm ({ROUNDS})")
    asked = words.parse_args(arguments)
    tt.set_num_threads(1)
    console.say(surroundings())
    for warning in describe().warnings:
        console.notice(warning)
    for name in asked.only or parts:
        parts[name](asked.rounds)
