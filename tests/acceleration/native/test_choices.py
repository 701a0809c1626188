"""The choice between plans: all give the product, the measured one is kept, and a damaged file is no harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.acceleration import cache
from tinytorch.acceleration.native import choices
from tinytorch.acceleration.native.kernels.gemm import Gemm
from tinytorch.acceleration.native.lower import Lowered, lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.ops.base import clock
from tinytorch.ops.spec import Array

LAYOUTS: dict[str, Any] = {
    "nn": lambda a, b, c: a @ b,
    "nt": lambda a, b, c: a @ b.T.contiguous().T,
    "tn": lambda a, b, c: a.T.contiguous().T @ b,
    "with an epilogue": lambda a, b, c: (a @ b + c).relu() * 2,
    "of a part": lambda a, b, c: a[:, 3:] @ b[3:],
}


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, in which products are measured."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    monkeypatch.setenv(choices.VARIABLE, "measured")
    return tmp_path


def lowered(function: Any, arrays: list[Array]) -> tuple[Lowered, Gemm]:
    """The lowered program of a function, and its product."""
    with tt.no_grad():
        graph = optimise(trace(function, [tt.Tensor(a) for a in arrays]).graph)
    low = lower(graph)
    (product,) = (step for step in low.steps if isinstance(step, Gemm))
    return low, product


def numbers(*shapes: tuple[int, ...], dtype: str = "float32") -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(37, 45, 29), (32, 64, 48)], ids=str)
def test_every_plan_gives_the_product(size: tuple[int, int, int], layout: str, dtype: str) -> None:
    m, k, n = size
    arrays = numbers((m, k), (k, n), (n,), dtype=dtype)
    low, product = lowered(LAYOUTS[layout], arrays)
    assert "pack" in product.plans()
    expected = LAYOUTS[layout](*(tt.Tensor(a.astype("float64")) for a in arrays)).numpy()
    for plan in product.plans():
        product.plan = plan
        (found,) = Program(low, use_cache=False, threads=1).run(arrays, clock.now)
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    assert len({str(product.signature()) for product.plan in product.plans()}) == len(product.plans())


def test_what_is_fastest_is_measured_once_and_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def times(kernel: Gemm, plans: tuple[str, ...]) -> dict[str, float]:
        asked.append(kernel)
        return {plan: 1.0 if plan == "blas" else 2.0 for plan in plans}

    monkeypatch.setattr(choices, "seconds", times)
    arrays = numbers((90, 80), (80, 90), (90,))
    for _ in range(2):
        low, product = lowered(LAYOUTS["nn"], arrays)
        Program(low, threads=1)
        assert product.plan == "blas"
    assert len(asked) == 1
    low, product = lowered(LAYOUTS["nn"], arrays)
    Program(low, threads=2)  # SciPy's BLAS is held to one thread
    assert product.plan != "blas"
    kept = json.loads((own_cache / cache.CHOICES).read_text())
    assert sorted(kept["plans"].values())[0] == "blas"
    monkeypatch.setattr(choices, "_known", {})  # as in another process
    low, product = lowered(LAYOUTS["nn"], arrays)
    Program(low, threads=1)
    assert product.plan == "blas"
    assert len(asked) == 2


@pytest.mark.usefixtures("own_cache")
def test_seconds_are_those_of_each_plan() -> None:
    _, product = lowered(LAYOUTS["nn"], numbers((64, 512), (512, 64), (64,)))
    before = product.plan
    found = choices.seconds(product, product.plans())
    assert product.plan == before
    assert list(found) == list(product.plans())
    assert all(1e-6 < seconds < 1 for seconds in found.values())


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"made by": "another compiler", "plans": {"a": "b"}}', b"\xff", b"{}"]
)
def test_a_file_of_choices_that_says_nothing(content: bytes, own_cache: Path) -> None:
    (own_cache / cache.CHOICES).write_bytes(content)
    arrays = numbers((90, 80), (80, 90), (90,))
    low, product = lowered(LAYOUTS["nn"], arrays)
    (found,) = Program(low, threads=1).run(arrays, clock.now)
    np.testing.assert_allclose(found, arrays[0] @ arrays[1], rtol=1e-4, atol=1e-4)
    kept = json.loads((own_cache / cache.CHOICES).read_text())
    assert kept["made by"] == cache.compiler_version()
    assert list(kept["plans"].values()) == [product.plan]


def test_a_kept_plan_that_does_not_exist_is_measured_anew(own_cache: Path) -> None:
    arrays = numbers((90, 80), (80, 90), (90,))
    Program(lowered(LAYOUTS["nn"], arrays)[0], threads=1)
    file = own_cache / cache.CHOICES
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"plans": dict.fromkeys(kept["plans"], "magic")}))
    choices._known.clear()
    Program(lowered(LAYOUTS["nn"], arrays)[0], threads=1)
    assert set(json.loads(file.read_text())["plans"].values()) <= {"pack", "direct", "dot", "blas"}


def test_small_products_and_fixed_choices_are_not_measured(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Program(lowered(LAYOUTS["nn"], numbers((20, 20), (20, 20), (20,)))[0], threads=1)
    monkeypatch.setenv(choices.VARIABLE, "fixed")
    Program(lowered(LAYOUTS["nn"], numbers((90, 80), (80, 90), (90,)))[0], threads=1)
    assert not (own_cache / cache.CHOICES).exists()


def test_clearing_the_cache_forgets_choices(own_cache: Path) -> None:
    Program(lowered(LAYOUTS["nn"], numbers((90, 80), (80, 90), (90,)))[0], threads=1)
    assert (own_cache / cache.CHOICES).exists()
    cache.clear()
    assert list(own_cache.iterdir()) == []


def test_a_program_that_calls_blas_runs_in_a_process_that_reads_it_from_disk(own_cache: Path) -> None:
    program = (
        "import sys, numpy as np, tinytorch as tt\n"
        "from tinytorch.acceleration.native import choices\n"
        "choices.fastest = lambda times: 'blas'\n"
        "fast = tt.compile(lambda a, b: a @ b)\n"
        "a = np.arange(8100, dtype='float32').reshape(90, 90) / 8100\n"
        "with tt.no_grad():\n"
        "    assert np.allclose(fast(tt.Tensor(a), tt.Tensor(a)).numpy(), a @ a, rtol=1e-4)\n"
        "from threadpoolctl import threadpool_info\n"
        "assert all(p['num_threads'] == 1 for p in threadpool_info() if 'scipy.libs' in p['filepath'])\n"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert set(json.loads((own_cache / cache.CHOICES).read_text())["plans"].values()) == {"blas"}
    assert len(list(own_cache.glob("*.program"))) == 1
