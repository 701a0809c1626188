"""Products with sparse weights against NumPy's dense ones, and from where on sparse is faster than dense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import tinytorch as tt
from benchmarks.interleave import Ratio, calls_for, interleave, ratio_of
from tinytorch.compression.sparse import BlockedLinear, SparseLinear
from tinytorch.compression.sparsify import LAYERS, BreakEven, Form, break_even
from tinytorch.nn.layers import Linear
from tinytorch.tensor import Tensor, from_numpy


@dataclass(frozen=True)
class Case:
    """x: (rows, k) by w: (n, k) with a share of zeros, in single weights or blocks of 8 outputs.

    `must`: how many times as long NumPy's dense product must take, where that is said.
    """

    form: Form
    rows: int
    k: int
    n: int
    zeros: float
    must: float | None = None

    @property
    def name(self) -> str:
        """Its sizes in words."""
        what = "blocks of 8 x 1" if self.form == "blocked" else "weights"
        size = (
            f"matrix-vector {self.n} x {self.k}"
            if self.rows == 1
            else f"{self.rows} rows x {self.k} x {self.n}"
        )
        return f"{size}, {self.zeros * 100:.0f} % of {what} zero"


CASES = (
    *(Case("csr", 32, 1024, 1024, *pair) for pair in ((0.7, None), (0.8, 1.5), (0.9, 3.0), (0.95, 5.0))),
    Case("blocked", 1, 1024, 1024, 0.9, 1.5),
    *(Case("blocked", 32, 1024, 1024, zeros) for zeros in (0.7, 0.9)),
    *(Case("csr", 1, 1024, 1024, zeros) for zeros in (0.7, 0.9, 0.95)),
)


def layer_of(case: Case, rng: np.random.Generator) -> Linear:
    """A dense layer with zeros at random places."""
    if case.form == "blocked":
        kept = np.repeat(rng.random((-(-case.n // 8), case.k)) >= case.zeros, 8, axis=0)[: case.n]
    else:
        kept = rng.random((case.n, case.k)) >= case.zeros
    layer = Linear(case.k, case.n, bias=False)
    with tt.no_grad():
        layer.weight.assign_(from_numpy((layer.weight.data * kept).astype(np.float32)))
    return layer


def measure(case: Case, rounds: int) -> Ratio:
    """NumPy's time for the dense product over ours for the sparse one, in turns."""
    rng = np.random.default_rng(0)
    dense = layer_of(case, rng)
    sparse: SparseLinear | BlockedLinear = LAYERS[case.form].of(dense)
    x = rng.standard_normal((case.rows, case.k)).astype(np.float32)
    w, out = dense.weight.data, np.empty((case.rows, case.n), np.float32)
    fast, given = tt.compile(sparse), from_numpy(x)

    def ours() -> Tensor:
        found: Tensor = fast(given)
        return found

    def theirs() -> None:
        if case.rows == 1:
            np.dot(w, x[0], out=out[0])
        else:
            np.dot(x, w.T, out=out)

    with tt.no_grad():
        for _ in range(3):
            found = ours().data
        theirs()
        error = np.abs(found - out).max() / np.abs(out).max()
        assert error < 1e-5, f"{case.name}: {error:.1e} of the largest result off"
        arms = {"ours": ours, "NumPy": theirs}
        times = interleave(arms, rounds, {name: calls_for(run) for name, run in arms.items()}, lead=True)
    return ratio_of(times["ours"], times["NumPy"])


def crossings(rounds: int, k: int = 1024, n: int = 1024) -> list[BreakEven]:
    """Where our own sparse layers begin to be faster than our own dense ones: both forms, 1 and 32 rows."""
    forms: tuple[Form, ...] = ("csr", "blocked")
    return [break_even(k, n, rows, form=form, rounds=rounds) for form in forms for rows in (1, 32)]
