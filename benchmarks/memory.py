"""Memory of a GPT step, ours and PyTorch's, each in a process of its own, as the system counts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import stats


def _status(key: str) -> int:
    """A size of this process in bytes, from /proc (Linux): VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _measure(who: str) -> dict[str, float]:
    """Growth of this process from built model to the peak of its first full steps; slope over 200 more.

    A tiny step first loads what each side loads lazily, so that neither is charged for code.
    """
    import torch

    import tinytorch as tt
    from benchmarks import speed

    torch.set_num_threads(1)
    tt.set_num_threads(1)
    tiny = speed.pair("gpt", "adamw", width=16, layers=1)
    step = speed.pair("gpt", "adamw")[("ours", "torch").index(who)]
    tiny[0](), tiny[1]()
    before = _status("VmRSS")
    for _ in range(3):
        step()
    peak = _status("VmHWM") - before
    for _ in range(50):  # until the allocator has seen every size
        step()
    held = []
    for _ in range(200):
        step()
        held.append(_status("VmRSS"))
    line = stats.linregress(np.arange(len(held)), held)
    return {"peak": float(peak), "slope": float(line.slope), "slope_error": float(line.stderr)}


def measure(who: str) -> dict[str, float]:
    """Peak in bytes and slope in bytes a step (with its standard error) of "ours" or "torch"."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", who], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1])))
