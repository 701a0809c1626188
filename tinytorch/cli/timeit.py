"""`tito timeit`: how long a piece of code takes, alone or beside another."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tinytorch import console


@click.command(name="timeit")
@click.argument("code")
@click.option("--vs", "others", multiple=True, metavar="CODE", help="Code to compare with; may be repeated.")
@click.option("--setup", default="", metavar="CODE", help="Code that runs once before, outside the time.")
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="Runs of each code.")
@click.option("--warmup", type=click.IntRange(0), default=3, show_default=True, help="Calls before the runs.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="Fresh processes to spread the runs over: 5 with --vs, else none but this one.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Draws the order of runs.")
@click.option("--threads", type=click.IntRange(1), help="Threads of BLAS and our own kernels.")
@click.option(
    "--collector",
    type=click.Choice(["off", "collect", "on"]),
    default="off",
    show_default=True,
    help="The garbage collector: off in the runs, collecting before each, or left on.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write all samples and figures as JSON.",
)
def command(
    code: str,
    others: tuple[str, ...],
    setup: str,
    runs: int,
    warmup: int,
    processes: int | None,
    seed: int,
    threads: int | None,
    collector: str,
    json_file: Path | None,
) -> None:
    """Time CODE, and with --vs say whether other code is faster.

    CODE knows tinytorch as `tt`, NumPy as `np`, and what --setup leaves. Each code has its own copy of that:
    what one sets, the other does not see.

    \b
    tito timeit "x @ x" --setup "x = np.ones((64, 64))"
    tito timeit "tt.nn.functional.relu(x)" --vs "x.maximum(0)" --setup "x = tt.ones(1000)" --processes 5
    """
    from tinytorch.profiling.timing.arms import arm_of
    from tinytorch.profiling.timing.compare import compared
    from tinytorch.profiling.timing.comparison import Comparison
    from tinytorch.profiling.timing.stats import Stats
    from tinytorch.profiling.timing.timer import measure_arm
    from tinytorch.threads import set_num_threads
    from tinytorch.training import write_whole

    if threads is not None:
        set_num_threads(threads)
    found: Comparison | Stats
    processes = processes or (5 if others else 1)
    if others or processes > 1:
        found = compared(
            (code, *others),
            runs=runs,
            warmup=warmup,
            processes=processes,
            seed=seed,
            setup=setup,
            collector=collector,
        )
    else:
        found = measure_arm(arm_of(code, setup=setup), warmup, runs, collector=collector)
    console.say(repr(found))
    if json_file is not None:
        write_whole(json_file, json.dumps(found.as_dict(), indent=1).encode())
        console.notice(f"wrote {json_file}")
