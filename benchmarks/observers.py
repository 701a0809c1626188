"""What watching costs: a model nobody profiles beside a package without hooks, and a profiled GPT.

`python -m benchmarks.observers`. The other package is the source less the lines that serve watchers, run in a
process of its own; the two processes take turns in random order, several pairs of fresh ones.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tinytorch as tt
from tinytorch import console, models
from tinytorch.profiling.significance import paired_ratio
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.trace import OpTimer

PACKAGE = Path(tt.__file__).parent
# (file, with hooks, without)
HOOKS = (
    ("ops/base.py", "if state.watched or self.outputs > 1:", "if self.outputs > 1:"),
    ("ops/compare.py", "        if state.watched:\n            return self.all(a, b)[0]\n", ""),
    (
        "nn/module.py",
        """        here, name = context.state, self._name
        outer = here.path
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
import gc, sys, time
import tinytorch as tt
from tinytorch import models
tt.set_num_threads(1)
name, batch, inner = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = models.load_pretrained(name).eval()
x = model.example_input
x = tt.zeros(batch, *x.shape[1:], dtype=x.dtype)
gc.disable()
with tt.no_grad():
    for _ in range(30):
        model(x)
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(inner):
            model(x)
        print((time.perf_counter_ns() - start) / inner, flush=True)
"""


def without_hooks(folder: Path) -> Path:
    """A copy of the package less the lines that serve watchers; raises ValueError if they are not there."""
    shutil.copytree(PACKAGE, folder / "tinytorch", ignore=shutil.ignore_patterns("__pycache__", "files"))
    for name, with_hook, without in HOOKS:
        path = folder / "tinytorch" / name
        text = path.read_text(encoding="utf-8")
        if text.count(with_hook) != 1:
            raise ValueError(f"{name}: the hook is not there once: {with_hook!r}")
        path.write_text(text.replace(with_hook, without), encoding="utf-8")
    return folder


def child(folder: Path, arguments: list[str]) -> subprocess.Popen[str]:
    """A process that times a pass for each line it reads, on the package in `folder`."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", CHILD, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    )


def unwatched(
    name: str, batch: int, inner: int, pairs: int = 6, rounds: int = 60
) -> tuple[Estimate, list[float]]:
    """Time with hooks over time without: over all pairs of processes, and the median of each pair."""
    rng = random.Random(0)
    medians: list[float] = []
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        copy = without_hooks(Path(temporary))
        for _ in range(pairs):
            arguments = [name, str(batch), str(inner)]
            processes = {"ours": child(PACKAGE.parent, arguments), "bare": child(copy, arguments)}
            times: dict[str, list[float]] = {"ours": [], "bare": []}
            for _ in range(rounds):
                for arm in rng.sample(list(processes), 2):
                    times[arm].append(ask(processes[arm]))
            for process in processes.values():
                process.communicate()
            medians.append(float(np.median(np.array(times["ours"]) / np.array(times["bare"]))))
            ours += times["ours"]
            bare += times["bare"]
    return paired_ratio(ours, bare).estimate(), medians


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
    tt.set_num_threads(1)
    rows = []
    for label, name, batch, inner in (
        ("GPT 1x128", "gpt", 1, 2),
        ("CNN b32", "cnn", 32, 2),
        ("MLP b32", "mlp", 32, 50),
        ("MLP b1", "mlp", 1, 200),
    ):
        found, pairs = unwatched(name, batch, inner)
        spread = ", ".join(f"{one:.3f}" for one in pairs)
        rows.append([f"{label}, nobody watches / hooks removed", _show(found), spread])
    rows.append(["GPT 1x128, profiled / not", _show(watched()), ""])
    console.table(
        "What watching costs: forward passes, ratios of time",
        ["work", "ratio [95 %]", "each pair of processes"],
        rows,
    )


def _show(found: Estimate) -> str:
    low, high = (f"{end:.3f}" if end is not None else "-" for end in (found.low, found.high))
    return f"{found.value:.3f} [{low}, {high}]"


if __name__ == "__main__":
    main()
