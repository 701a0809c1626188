"""What watching costs: a model nobody profiles beside a package without hooks, and a profiled GPT.

`python -m benchmarks.observers`. The other package is the source less the lines that serve watchers, run in a
process of its own; the two processes take turns on one core in random order, `--pairs` pairs of fresh ones.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tinytorch as tt
from tinytorch import console, models
from tinytorch.profiling.significance import paired_ratio, ratio_of_runs
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.trace import OpTimer

PACKAGE = Path(tt.__file__).parent
# (file, with hooks, without)
HOOKS = (
    ("ops/base.py", "if state.watched or self.outputs > 1:", "if self.outputs > 1:"),
    ("ops/compare.py", "        if state.watched:\n            return self.all(a, b)[0]\n", ""),
    (
        "nn/module.py",
        """        here = context.state
        if not (here.watched or here.grad):
            return self.forward(*args, **kwargs)
        name, outer = self._name, here.path
        if name:
            here.path = f"{outer}.{name}" if outer else name
        try:
            return self.forward(*args, **kwargs)
        finally:
            here.path = outer
""",
        "        return self.forward(*args, **kwargs)\n",
    ),
)
CHILD = """
import gc, os, sys, time
if sys.platform == "linux":  # one core for both: two differ, and by turns
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
import tinytorch as tt
from tinytorch import models
tt.set_num_threads(1)
name, batch, inner, gradients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "True"
model = models.load_pretrained(name).eval()
x = model.example_input
x = tt.zeros(batch, *x.shape[1:], dtype=x.dtype)
gc.disable()
def work():
    model.zero_grad()
    out = model(x)
    if gradients:
        out.backward(tt.ones(*out.shape))
with tt.enable_grad() if gradients else tt.no_grad():
    for _ in range(30):
        work()
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(inner):
            work()
        print((time.perf_counter_ns() - start) / inner, flush=True)
"""


def copy_of(folder: Path, hooks: bool) -> Path:
    """A copy of the package, with the lines that serve watchers or without; ValueError if there are none."""
    shutil.copytree(PACKAGE, folder / "tinytorch", ignore=shutil.ignore_patterns("__pycache__", "files"))
    for name, with_hook, without in () if hooks else HOOKS:
        path = folder / "tinytorch" / name
        text = path.read_text(encoding="utf-8")
        if text.count(with_hook) != 1:
            raise ValueError(f"{name}: the hook is not there once: {with_hook!r}")
        path.write_text(text.replace(with_hook, without), encoding="utf-8")
    return folder


def child(folder: Path, arguments: list[str], filler: int) -> subprocess.Popen[str]:
    """A process that times a pass for each line it reads, on the package in `folder`.

    `filler`: characters of environment, which shift where things lie in its memory.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "FILLER": "x" * filler,
    }
    command = [sys.executable, "-c", CHILD, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    )


def unwatched(
    name: str,
    batch: int,
    inner: int,
    gradients: bool = False,
    hooks: bool = False,
    pairs: int = 24,
    rounds: int = 40,
) -> tuple[Estimate, list[float]]:
    """Time with hooks over time without, or with `hooks` over the same again: of all pairs, and of each.

    A pair of processes counts as one sample: layout in memory differs from process to process.
    """
    rng = random.Random(0)
    tests = []
    with tempfile.TemporaryDirectory() as temporary:
        folders = [copy_of(Path(temporary, "one"), True), copy_of(Path(temporary, "two"), hooks)]
        for _ in range(pairs):
            arguments = [name, str(batch), str(inner), str(gradients)]
            processes = [child(folder, arguments, rng.randrange(4096)) for folder in folders]
            times: list[list[float]] = [[], []]
            for _ in range(rounds):
                for arm in rng.sample((0, 1), 2):
                    times[arm].append(ask(processes[arm]))
            for process in processes:
                process.communicate()
            tests.append(paired_ratio(*times))
    return ratio_of_runs(tests).estimate(), [math.exp(test.log_ratio) for test in tests]


def ask(process: subprocess.Popen[str]) -> float:
    """One timing of a child."""
    requests, answers = process.stdin, process.stdout
    assert requests is not None
    assert answers is not None
    requests.write("\n")
    requests.flush()
    return float(answers.readline())


def watched(rounds: int = 200) -> Estimate:
    """Time of a GPT's forward pass that the profiler's timer watches over that of one that nobody does."""
    model = models.load_pretrained("gpt")
    x, rng, timer = model.example_input, random.Random(0), OpTimer()

    def bare() -> float:
        start = time.perf_counter_ns()
        model(x)
        return float(time.perf_counter_ns() - start)

    def seen() -> float:
        one, _ = timer.run(lambda: model(x))
        return float(one.end - one.start)

    arms = {"bare": bare, "seen": seen}
    times: dict[str, list[float]] = {"bare": [], "seen": []}
    with tt.no_grad():
        for number in range(rounds + 10):
            for arm in rng.sample(list(arms), 2):
                took = arms[arm]()
                if number >= 10:
                    times[arm].append(took)
    return paired_ratio(times["seen"], times["bare"]).estimate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What watching costs.")
    parser.add_argument("--pairs", type=int, default=24, help="pairs of fresh processes for each row (24)")
    pairs = parser.parse_args().pairs
    tt.set_num_threads(1)
    rows = []
    for label, name, batch, inner, gradients, hooks in (
        ("GPT 1x128", "gpt", 1, 4, False, False),
        ("CNN b32", "cnn", 32, 8, False, False),
        ("MLP b32", "mlp", 32, 50, False, False),
        ("MLP b1", "mlp", 1, 200, False, False),
        ("CNN b32, the same twice", "cnn", 32, 8, False, True),
        ("MLP b1, the same twice", "mlp", 1, 200, False, True),
        ("GPT 1x128 and its gradients", "gpt", 1, 2, True, False),
        ("MLP b32 and its gradients", "mlp", 32, 20, True, False),
    ):
        found, each = unwatched(name, batch, inner, gradients, hooks, pairs)
        rows.append([label, _show(found), f"{min(each):.3f} to {max(each):.3f}"])
    rows.append(["GPT 1x128, profiled / not", _show(watched()), ""])
    console.table(
        "What watching costs, ratios of time",
        ["nobody watches / hooks removed", "ratio [95 %]", "pairs of processes"],
        rows,
    )


def _show(found: Estimate) -> str:
    low, high = (f"{end:.3f}" if end is not None else "-" for end in (found.low, found.high))
    return f"{found.value:.3f} [{low}, {high}]"


if __name__ == "__main__":
    main()
