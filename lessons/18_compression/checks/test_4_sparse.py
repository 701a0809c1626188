"""Sparse rows: what is stored of a weight, where each row of it begins, and its product with a vector."""

import numpy as np
import pytest
from helpers import quiet, sparse

from tinytorch import nn
from tinytorch.autograd import no_grad
from tinytorch.compression.sparse import CSR, SparseLinear, csr_matvec, csr_to_dense, to_csr
from tinytorch.errors import CompressionError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.tensor import Tensor

F4, I4 = np.float32, np.int32


def rows_of(w):
    """Values, columns and starts, number by number."""
    values, columns, starts = [], [], [0]
    for row in w.tolist():
        for column, value in enumerate(row):
            if value != 0:
                values.append(value)
                columns.append(column)
        starts.append(len(values))
    return np.array(values, F4), np.array(columns, I4), np.array(starts, I4)


def stored(w):
    """A CSR by hand."""
    return CSR(*rows_of(w), w.shape)


# ---------------------------------------------------------------- to_csr


def same(csr, w):
    """All four parts are what they must be, dtypes included."""
    values, columns, starts = rows_of(w)
    expect.close("csr.values", values, 0, 0, dtype=F4, csr=csr)
    expect.close("csr.columns", columns, 0, 0, dtype=I4, csr=csr)
    expect.close("csr.starts", starts, 0, 0, dtype=I4, csr=csr)
    expect.equal("tuple(csr.shape)", w.shape, csr=csr)


@exercise("to_csr")
@pytest.mark.parametrize("shape", [(3, 5), (6, 4), (1, 7), (5, 1), (9, 16)])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_values_columns_and_starts(rng, shape, share):
    w = sparse(rng, *shape, share=share)
    same(expect.value("to_csr(w)"), w)


@exercise("to_csr")
def test_rows_of_zeros_start_where_the_next_one_does():
    w = np.array([[0, 0, 0], [0, 2, 3], [0, 0, 0], [0, 0, 0], [4, 0, 5], [0, 0, 0]], float)
    csr = expect.value("to_csr(w)")
    expect.equal("csr.starts", np.array([0, 0, 2, 2, 2, 4, 4], I4), csr=csr)
    same(csr, w)


@exercise("to_csr")
def test_all_zeros_none_and_no_rows():
    for w in (np.zeros((3, 4), F4), np.ones((2, 3), F4), np.zeros((0, 3), F4)):
        same(expect.value("to_csr(w)", w=w), w)


@exercise("to_csr")
def test_all_that_is_not_zero_is_stored():
    w = np.array([[np.nan, -0.0, 1e-30], [-np.inf, 0.0, -1e-38]], F4)
    same(expect.value("to_csr(w)"), w)


@exercise("to_csr")
def test_weights_in_any_layout(rng):
    w = sparse(rng, 5, 7).T
    before = w.copy()
    same(expect.value("to_csr(w)"), w)
    expect.equal("w", before)


@exercise("to_csr")
@pytest.mark.parametrize("shape", [(4,), (2, 3, 1, 1)])
def test_weights_with_other_axes(shape):
    w = np.ones(shape, F4)
    expect.raises("to_csr(w)", CompressionError)


@exercise("to_csr")
def test_there_and_back(rng):
    w = sparse(rng, 6, 9)
    csr = expect.value("to_csr(w)")
    expect.equal("csr_to_dense(csr)", w, csr=csr)


@exercise("to_csr")
def test_a_layer_without_its_zeros(rng):
    layer = nn.Linear(8, 5)
    layer.weight.assign_(sparse(rng, 5, 8))
    x = rng.normal(size=(3, 8)).astype(F4)
    with no_grad():
        got = expect.value("SparseLinear.of(layer)(Tensor(x)).numpy()", layer=layer)
    want = x.astype(float) @ layer.weight.numpy().astype(float).T + layer.bias.numpy()
    expect.close("got", want, 1e-5, 1e-6, got=got)


# ---------------------------------------------------------------- csr_matvec


@exercise("csr_matvec")
@pytest.mark.parametrize("shape", [(3, 5), (6, 4), (1, 7), (5, 1), (9, 16)])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_products_with_a_vector(rng, shape, share):
    w = sparse(rng, *shape, share=share)
    csr, x = stored(w), rng.normal(size=shape[1]).astype(F4)
    want = [sum(a * b for a, b in zip(row, x.tolist(), strict=True)) for row in w.tolist()]
    expect.close("csr_matvec(csr, x)", want, 1e-5, 1e-5, dtype=F4, csr=csr)


@exercise("csr_matvec")
def test_rows_of_zeros_give_zero(rng):
    w = np.array([[0, 0, 0], [0, 2, 3], [0, 0, 0], [0, 0, 0], [4, 0, 5], [0, 0, 0]], F4)
    csr, x = stored(w), np.array([1.0, 10.0, 100.0], F4)
    expect.close("csr_matvec(csr, x)", [0, 320, 0, 0, 504, 0], 1e-6, 0, dtype=F4, csr=csr)
    nothing = stored(np.zeros((2, 3), F4))
    expect.close("csr_matvec(nothing, x)", [0, 0], 0, 0, dtype=F4, nothing=nothing)


@exercise("csr_matvec")
def test_what_is_not_stored_is_not_multiplied():
    w = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [4.0, 0.0, 0.0]], F4)
    csr, x = stored(w), np.array([1.0, np.inf, np.nan], F4)
    expect.close("csr_matvec(csr, x)", [np.nan, np.inf, 0, 4], 1e-6, 0, csr=csr)


@exercise("csr_matvec")
def test_results_of_any_input_are_float32(rng):
    w = sparse(rng, 4, 6, share=0.4)
    csr, x = stored(w), rng.integers(-5, 6, size=6).astype(np.float64)
    expect.close("csr_matvec(csr, x)", w.astype(float) @ x, 1e-5, 1e-5, dtype=F4, csr=csr)


@exercise("csr_matvec")
@pytest.mark.parametrize("shape", [(4,), (6,), (5, 1), (1, 5), ()])
def test_vectors_that_do_not_fit(rng, shape):
    csr, x = stored(sparse(rng, 3, 5)), np.ones(shape, F4)
    expect.raises("csr_matvec(csr, x)", CompressionError, csr=csr)


@exercise("to_csr", "csr_matvec")
def test_a_pruned_layer_at_work(rng):
    w = sparse(rng, 20, 30, share=0.9)
    csr, x = expect.value("to_csr(w)"), rng.normal(size=30).astype(F4)
    before = x.copy()
    expect.close("csr_matvec(csr, x)", w.astype(float) @ x, 1e-5, 1e-5, dtype=F4, csr=csr)
    expect.equal("x", before)
