"""`python -m benchmarks.compiled`: compiled models and steps beside their peers; `--only NAME` for one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

import tinytorch as tt
from benchmarks.compiled import lines, tables
from benchmarks.compiled.measure import Measured, measure
from benchmarks.compiled.workloads import FORWARD, MINILM, STEP, UNTUNED, WORKLOADS, Workload, workload
from benchmarks.surroundings import surroundings
from tinytorch import console
from tinytorch.profiling.environment import describe

ROUNDS, QUICK = 60, 15


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    asked = parser().parse_args(arguments)
    rounds = asked.rounds or (QUICK if asked.quick else ROUNDS)
    torch.set_num_threads(asked.threads)
    tt.set_num_threads(asked.threads)
    console.say(surroundings())
    for warning in describe().warnings:
        console.notice(warning)
    works = [workload(name) for name in asked.only] or list(WORKLOADS)
    found = measured(works, asked.threads, rounds)
    threads = f"{asked.threads} thread{'s' if asked.threads > 1 else ''}"
    for group in (FORWARD, STEP, UNTUNED, MINILM):
        if some := [one for one in found if one.work.group == group]:
            title = f"Compiled, {group}: the peer's time / ours, {threads}, interleaved ({rounds} rounds)"
            tables.ratios(title, some, held=asked.threads == 1)
    tables.apart(found)
    if not asked.only and asked.threads == 1:
        lines.report(tt.compile, rounds)


def measured(works: Sequence[Workload], threads: int, rounds: int) -> list[Measured]:
    """All workloads one after the other."""
    found = []
    with console.progress(len(works), "compiled beside peers", "workloads") as bar:
        for work in works:
            found.append(measure(work, tt.compile, threads, rounds))
            bar.update(len(found), last=work.name)
    return found


def parser() -> argparse.ArgumentParser:
    """The words of the command line."""
    words = argparse.ArgumentParser(
        prog="python -m benchmarks.compiled",
        description="Compiled models and training steps beside their peers.",
    )
    words.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        choices=[work.name for work in WORKLOADS],
        help="a workload (may be given several times): " + ", ".join(work.name for work in WORKLOADS),
    )
    words.add_argument(
        "--rounds", type=positive, help=f"samples of each arm ({ROUNDS}; {QUICK} with --quick)"
    )
    words.add_argument("--threads", type=positive, default=1, help="for all; figures are held to on one (1)")
    words.add_argument("--quick", action="store_true", help="fewer samples")
    return words


def positive(text: str) -> int:
    """A whole number of 1 or more.

    >>> positive("3")
    3
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected 1 or more")
    return number


if __name__ == "__main__":
    main()
