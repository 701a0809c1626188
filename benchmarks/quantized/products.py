"""INT8 products, quantizing of inputs and dequantizing of results included, against NumPy's float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import tinytorch as tt
from benchmarks.interleave import Ratio, calls_for, interleave, ratio_of
from tinytorch.ops.quantize import quantize_rows
from tinytorch.ops.quantized import linear_int8
from tinytorch.tensor import from_numpy


@dataclass(frozen=True)
class Case:
    """x: (rows, k) by w: (n, k); `relu`: inputs of 0 or more, as behind a ReLU. NumPy's time over ours."""

    rows: int
    k: int
    n: int
    must: float | None
    aim: float
    relu: bool = False

    @property
    def name(self) -> str:
        """Its sizes in words."""
        if self.rows == 1:
            return f"matrix-vector {self.n} x {self.k}"
        return f"{self.rows} rows x {self.k} x {self.n}{', after a ReLU' * self.relu}"


CASES = (
    Case(1, 4096, 4096, 2.5, 3.8),
    Case(1, 1536, 576, 2.0, 3.5),
    *(
        Case(rows, 1024, 1024, must, aim)
        for rows, must, aim in ((32, 1.7, 2.1), (128, 1.4, 1.7), (512, 1.3, 1.6))
    ),
    *(Case(rows, 1024, 1024, None, aim, relu=True) for rows, aim in ((32, 2.8), (128, 2.2), (512, 2.1))),
)


def measure(case: Case, rounds: int) -> Ratio:
    """NumPy's time over ours, both with a bias, in turns."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (case.n, case.k)).astype(np.int8)
    scale, bias = (rng.random(case.n).astype(np.float32) for _ in range(2))
    weights, scales, beside = from_numpy(codes), from_numpy(scale), from_numpy(bias)
    x = rng.standard_normal((case.rows, case.k)).astype(np.float32)
    if case.relu:
        x = np.maximum(x, 0)

    def ours(t: tt.Tensor) -> tt.Tensor:
        rows, step = quantize_rows(t.relu() if case.relu else t)
        return linear_int8(rows, step, weights, scales) + beside

    fast, given = tt.compile(ours), from_numpy(x)
    wide, out = codes * scale[:, None], np.empty((case.rows, case.n), np.float32)

    def theirs() -> None:
        if case.rows == 1:
            np.dot(wide, x[0], out=out[0])
        else:
            np.dot(x, wide.T, out=out)
        np.add(out, bias, out=out)

    with tt.no_grad():
        for _ in range(3):
            found = fast(given).data
        theirs()
        error = np.abs(found - out).max() / np.abs(out).max()
        assert error < 0.05, f"{case.name}: {error:.3f} of the largest result off"
        arms = {"ours": lambda: fast(given), "NumPy": theirs}
        times = interleave(arms, rounds, {name: calls_for(run) for name, run in arms.items()}, lead=True)
    return ratio_of(times["ours"], times["NumPy"])
