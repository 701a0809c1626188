"""Timing arms in fresh processes: memory layout and hashing differ from one to the next, and so do times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tinytorch import console
from tinytorch.errors import ProfilingError
from tinytorch.profiling.timing.arms import arms_of, reference, resolved
from tinytorch.profiling.timing.interleave import Readings, interleaved
from tinytorch.threads import get_num_threads, set_num_threads

_START = (
    "import json, sys; task = json.load(sys.stdin); sys.path[:] = task['path']; "
    "from tinytorch.profiling.timing.processes import answer; answer(task)"
)
_MARK = "TINYTORCH_FRESH_PROCESS"


def in_processes(
    arms: Sequence[Callable[..., Any] | str],
    shares: Sequence[int],
    warmup: int,
    seed: int,
    setup: str = "",
    collector: str = "off",
) -> tuple[Readings, ...]:
    """Time the arms in turns in one fresh process after the other, as many runs in each as `shares` says.

    Raises ProfilingError for a function that a fresh process cannot find, for an error in one of them, and
    when called in such a process itself.
    """
    if _MARK in os.environ:
        raise ProfilingError(
            "a fresh process was about to start others: the script that compares needs "
            '`if __name__ == "__main__":` around the comparison'
        )
    task = {
        "arms": [reference(arm) for arm in arms],
        "setup": setup,
        "warmup": warmup,
        "collector": collector,
        "threads": get_num_threads(),
        "path": sys.path,
    }
    found = []
    with console.progress(len(shares), "timing", "processes") as bar:
        for number, runs in enumerate(shares):
            found.append(_one(task | {"runs": runs, "seed": seed + number}))
            bar.update(number + 1)
    return tuple(found)


def _one(task: Mapping[str, Any]) -> Readings:
    """What one fresh process measures."""
    done = subprocess.run(
        [sys.executable, "-c", _START],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {_MARK: "1", "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    try:
        answered = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise ProfilingError(f"a fresh process ended with code {done.returncode}: {last}") from None
    if "error" in answered:
        raise ProfilingError(f"in a fresh process: {answered['error']}")
    return Readings(
        tuple(tuple(samples) for samples in answered["samples"]),
        tuple(answered["cpu"]),
        tuple(answered["inner"]),
        answered["stolen"],
        answered["crowded"],
    )


def answer(task: Mapping[str, Any]) -> None:
    """In the fresh process: time the arms and write what was found to standard output, as JSON.

    What the arms themselves write to standard output goes to standard error.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    console.set_quiet(True)
    with out:
        json.dump(measured(task), out)


def measured(task: Mapping[str, Any]) -> dict[str, Any]:
    """What this process measures, or the error of an arm, as plain data."""
    set_num_threads(task["threads"])
    try:
        found = [resolved(arm) for arm in task["arms"]]
        arms = arms_of(found, setup=task["setup"], seed=task["seed"])
        return asdict(interleaved(arms, task["runs"], task["warmup"], task["seed"], task["collector"]))
    except ProfilingError as error:
        return {"error": str(error)}
