"""What a whole process takes: memory with a model and a full cache, and the time to the first token."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from tinytorch.models.fetch import SMOLLM2

POSITIONS = 2048

_EMPTY = """
import numpy as np
from tinytorch.caching import Decoder
from tinytorch.caching.language import load_language
from tinytorch.models.llama import Llama
Decoder(Llama(64, 64, 32, 1, 2, 1, 32)).feed([[1, 2]])
"""
_LOADED = f"""
import numpy as np
from tinytorch.caching import Decoder
from tinytorch.caching.language import load_language
language = load_language("smollm2")
decoder = Decoder(language.model, {POSITIONS}, "float16")
ids = np.random.default_rng(0).integers(100, 40000, (1, {POSITIONS} - 8))
logits = decoder.feed(ids)
while decoder.room:
    logits = decoder.feed([[int(logits[0].argmax())]])
"""
_SAY = """
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmRSS")))
"""


@dataclass(frozen=True)
class Memory:
    """Resident bytes: of a process with the runtime and a tiny model, with SmolLM2, and of its cache."""

    empty: int
    loaded: int
    cache: int

    @property
    def share(self) -> float:
        """What is above the empty process and the cache, as a multiple of the file."""
        return (self.loaded - self.empty - self.cache) / SMOLLM2.size


def memory() -> Memory:
    """Both processes, each the median of three."""
    empty, loaded = (statistics.median(_resident(program) for _ in range(3)) for program in (_EMPTY, _LOADED))
    return Memory(int(empty), int(loaded), POSITIONS * 2 * 30 * 3 * 64 * 2)


def _resident(program: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", program + _SAY], capture_output=True, text=True, check=True, env=_environment()
    )
    return 1024 * int(done.stdout.split()[-1])


def first_token(times: int = 5) -> list[float]:
    """Seconds from the start of `tito generate` to its first output, with compiled kernels in the cache."""
    words = [
        sys.executable,
        "-m",
        "tinytorch",
        "-q",
        "generate",
        "The capital of France is",
        "--max-tokens",
        "8",
    ]
    found = []
    for _ in range(times + 1):
        start = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=_environment()) as process:
            assert process.stdout is not None, "it is a pipe"
            os.read(process.stdout.fileno(), 1)
            found.append(time.perf_counter() - start)
            process.communicate()
    return found[1:]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
