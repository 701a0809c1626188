"""Thin factors, a teacher's soft answers, and few values for many weights; then whole models."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import closest, clustered, quiet, soft_max, taught

import tinytorch as tt
from tinytorch.compression.distill import RECIPE, distill, distillation_loss
from tinytorch.compression.kmeans import kmeans
from tinytorch.compression.lowrank import factorize, svd_factors
from tinytorch.compression.share import settled, shared
from tinytorch.errors import CompressionError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import MLP
from tinytorch.tensor import Tensor

F4 = np.float32

# ---------------------------------------------------------------- svd_factors


def spread(rng, n, k, values):
    """A weight with these singular values, float64."""
    u, v = (np.linalg.qr(rng.normal(size=(size, size)))[0] for size in (n, k))
    return u[:, : len(values)] * values @ v[:, : len(values)].T


@exercise("svd_factors")
@pytest.mark.parametrize(("n", "k"), [(4, 6), (6, 4), (5, 5), (1, 3), (3, 1)])
def test_nothing_of_that_rank_is_nearer(rng, n, k):
    values = np.array([5.0, 3.0, 1.0, 0.5, 0.1])[: min(n, k)]
    w = spread(rng, n, k, values)
    for rank in range(1, min(n, k) + 1):
        a, b = expect.value("svd_factors(w, rank)", rank=rank)
        expect.equal("a.shape, b.shape", ((n, rank), (rank, k)), a=a, b=b)
        vectors = np.linalg.eigh(w @ w.T)[1][:, -rank:]  # the largest last
        expect.close("a @ b", vectors @ vectors.T @ w, 1e-4, 1e-5, dtype=F4, a=a, b=b)
        lost = float(np.sum((w - a.astype(float) @ b) ** 2))
        expect.close("lost", float(np.sum(values[rank:] ** 2)), 1e-4, 1e-9, lost=lost)


@exercise("svd_factors")
def test_both_factors_share_what_there_is(rng):
    values = np.array([4.0, 1.0, 0.25])
    w = spread(rng, 5, 7, values)
    a, b = expect.value("svd_factors(w, 2)")
    expect.close("a.T @ a", np.diag(values[:2]), 1e-4, 1e-5, dtype=F4, a=a)
    expect.close("b @ b.T", np.diag(values[:2]), 1e-4, 1e-5, dtype=F4, b=b)


@exercise("svd_factors")
def test_small_singular_values_are_exact_too(rng):
    values = np.array([1.0, 1e-5, 1e-6])
    w = spread(rng, 6, 6, values)
    a, b = expect.value("svd_factors(w, 3)")
    norms = np.linalg.norm(a.astype(float), axis=0) * np.linalg.norm(b.astype(float), axis=1)
    expect.close("norms", values, 1e-4, 0, norms=norms)


@exercise("svd_factors")
def test_weights_of_zeros_and_of_float32(rng):
    w = rng.normal(size=(4, 3)).astype(F4)
    before = w.copy()
    a, b = expect.value("svd_factors(w, 3)")
    expect.close("a @ b", w, 1e-4, 1e-5, dtype=F4, a=a, b=b)
    expect.equal("w", before)
    zeros = np.zeros((3, 4))
    a, b = expect.value("svd_factors(zeros, 2)")
    expect.close("a @ b", zeros, 0, 0, a=a, b=b)


@exercise("svd_factors")
@pytest.mark.parametrize("rank", [0, -1, 4, 6])
def test_ranks_that_there_are_not(rng, rank):
    w = rng.normal(size=(3, 6))
    expect.raises("svd_factors(w, rank)", CompressionError)
    turned = w.T
    expect.raises("svd_factors(turned, rank)", CompressionError)


@exercise("svd_factors")
def test_a_model_of_thin_layers(rng):
    model = MLP((20, 16, 4))
    w = spread(rng, 16, 20, np.array([3.0, 2.0, 1.0])).astype(F4)
    model.layers[0].weight.assign_(w)
    x = Tensor(rng.normal(size=(5, 20)).astype(F4))
    thin, report = expect.value("factorize(model, rank=3, layers=['layers.0'])", model=model)
    expect.equal("(report.before, report.after)", (320, 108), report=report)
    with tt.no_grad():
        got, want = thin(x).numpy(), model(x).numpy()
    expect.close("got", want, 1e-3, 1e-4, got=got)


# ---------------------------------------------------------------- distillation_loss


def logits(rng, *shape):
    """A student's and a teacher's logits, float64, and labels."""
    labels = rng.integers(0, shape[-1], size=shape[:-1])
    return 3 * rng.normal(size=shape), 3 * rng.normal(size=shape), labels


@exercise("distillation_loss")
@pytest.mark.parametrize("shape", [(5, 4), (1, 2), (2, 3, 6)])
@pytest.mark.parametrize(("t", "hard"), [(4.0, 0.1), (1.0, 0.5), (2.5, 0.0), (0.5, 0.9), (3.0, 1.0)])
def test_the_loss_in_float64(rng, shape, t, hard):
    student, teacher, labels = logits(rng, *shape)
    want, _ = taught(student, teacher, labels, t, hard)
    call = "distillation_loss(Tensor(student), Tensor(teacher), Tensor(labels), t, hard)"
    expect.close(call, want, 1e-6, 1e-9)


@exercise("distillation_loss")
def test_the_usual_temperature_and_share(rng):
    student, teacher, labels = logits(rng, 6, 5)
    want, _ = taught(student, teacher, labels, 4.0, 0.1)
    expect.close("distillation_loss(Tensor(student), Tensor(teacher), Tensor(labels))", want, 1e-6, 0)


@exercise("distillation_loss")
@pytest.mark.parametrize("t", [1.0, 4.0, 50.0])
def test_the_gradient_of_the_student(rng, t):
    student, teacher, labels = logits(rng, 4, 3)
    x = Tensor(student, requires_grad=True)
    expect.value("distillation_loss(x, Tensor(teacher), Tensor(labels), t, 0.3)", x=x).backward()
    got = x.grad.numpy()
    expect.close("got", taught(student, teacher, labels, t, 0.3)[1], 1e-5, 1e-8, got=got)


@exercise("distillation_loss")
def test_who_says_what_the_teacher_says_is_done(rng):
    teacher, labels = 3 * rng.normal(size=(4, 5)), rng.integers(0, 5, size=4)
    call = "distillation_loss(Tensor(teacher), Tensor(teacher.copy()), Tensor(labels), 3.0, 0.0)"
    expect.close(call, 0.0, 0, 1e-9)


@exercise("distillation_loss")
def test_the_teacher_is_not_taught(rng):
    student, teacher, labels = logits(rng, 3, 4)
    x, y = Tensor(student, requires_grad=True), Tensor(teacher, requires_grad=True)
    expect.value("distillation_loss(x, y, Tensor(labels))", x=x, y=y).backward()
    expect.true("y.grad is None or not y.grad.numpy().any()", "the teacher gets no gradient", y=y)
    expect.true("x.grad is not None", "the student gets one", x=x)


@exercise("distillation_loss")
def test_sure_of_itself(rng):
    student, teacher, labels = (
        F4([[0, 800, -800], [5, 0, 0]]),
        F4([[900, -900, 0], [0, 5, 0]]),
        np.array([1, 0]),
    )
    for t in (1.0, 4.0):
        call = "distillation_loss(Tensor(student), Tensor(teacher), Tensor(labels), t, 0.5)"
        loss = float(expect.value(call, t=t).numpy())
        expect.true("np.isfinite(loss)", "logits far apart give a finite loss", loss=loss)
        p, q = (soft_max(a[1] / t) for a in (student, teacher))
        kl = (800 / t + float((q * (np.log(q) - np.log(p))).sum())) / 2
        hard = -np.log(soft_max(student[1])[0]) / 2
        expect.close("loss", 0.5 * t * t * kl + 0.5 * hard, 1e-5, 0, loss=loss, t=t)


@exercise("distillation_loss")
@pytest.mark.parametrize(("t", "hard"), [(0.0, 0.1), (-1.0, 0.1), (4.0, -0.1), (4.0, 1.1)])
def test_temperatures_and_shares_that_are_none(rng, t, hard):
    student, teacher, labels = logits(rng, 2, 3)
    call = "distillation_loss(Tensor(student), Tensor(teacher), Tensor(labels), t, hard)"
    expect.raises(call, CompressionError)


@exercise("distillation_loss")
@pytest.mark.parametrize(
    ("ours", "theirs", "labelled"),
    [((2, 3), (2, 4), (2,)), ((2, 3), (1, 3), (2,)), ((2, 3), (2, 3), (1,)), ((2, 3), (2, 3), (2, 1))],
)
def test_shapes_that_do_not_fit(ours, theirs, labelled):
    x, y, labels = np.zeros(ours), np.zeros(theirs), np.zeros(labelled, np.int64)
    expect.raises("distillation_loss(Tensor(x), Tensor(y), Tensor(labels))", ShapeError, str(ours))


@exercise("distillation_loss")
def test_a_student_learns_from_a_teacher(rng):
    teacher, student, recipe = MLP((4, 3)), MLP((4, 3)), replace(RECIPE, lr=0.05)
    teacher.layers[0].weight.assign_(3 * rng.normal(size=(3, 4)).astype(F4))
    x = rng.normal(size=(64, 4)).astype(F4)
    batches = [(Tensor(x[i : i + 16]), Tensor(np.zeros(16, np.int64))) for i in range(0, 64, 16)]
    expect.value(
        "distill(student, teacher, batches, epochs=20, hard=0.0, recipe=recipe)",
        student=student,
        teacher=teacher,
        batches=batches,
    )
    with tt.no_grad():
        agrees = float((student(Tensor(x)).numpy().argmax(1) == teacher(Tensor(x)).numpy().argmax(1)).mean())
    expect.true("agrees > 0.8", "the student comes to say what the teacher says", agrees=agrees)


# ---------------------------------------------------------------- kmeans


def alike(found, values, clusters, rounds=200, weights=None):
    """Centroids and indices are those that distances one by one give."""
    centroids, indices = clustered(values, clusters, rounds, weights)
    expect.close("found[0]", centroids, 1e-5, 1e-6, dtype=F4, found=found)
    expect.equal("found[1]", indices, found=found)


@exercise("kmeans")
@pytest.mark.parametrize("clusters", [2, 3, 5, 8])
def test_clusters_as_distances_give_them(rng, clusters):
    values = rng.normal(size=60)
    alike(expect.value("kmeans(values, clusters)"), values, clusters)
    values = (rng.normal(size=(5, 4, 3)) ** 3).astype(F4)
    alike(expect.value("kmeans(values, clusters)", values=values), values, clusters)


@exercise("kmeans")
def test_one_for_all(rng):
    values = rng.normal(size=(3, 5)).astype(F4)
    centroids, indices = expect.value("kmeans(values, 1)")
    expect.close("centroids", [values.astype(float).mean()], 1e-5, 1e-7, dtype=F4, centroids=centroids)
    expect.equal("indices", np.zeros((3, 5), int), indices=indices)


@exercise("kmeans")
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_so_many_rounds(rng, rounds):
    values = rng.normal(size=50)
    alike(expect.value("kmeans(values, 6, rounds)"), values, 6, rounds)


@exercise("kmeans")
def test_it_begins_evenly_between_the_ends():
    values = np.array([-1.0, -0.9, 3.0, 0.6])
    centroids, indices = expect.value("kmeans(values, 3, rounds=0)")
    expect.close("centroids", [-1.0, 1.0, 3.0], 1e-6, 0, dtype=F4, centroids=centroids)
    expect.equal("indices", np.array([0, 0, 2, 1]), indices=indices)


@exercise("kmeans")
def test_half_way_belongs_to_the_lower():
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    centroids, indices = expect.value("kmeans(values, 3, rounds=0)")
    expect.close("centroids", [0.0, 2.0, 4.0], 0, 0, centroids=centroids)
    expect.equal("indices", np.array([0, 0, 1, 1, 2]), indices=indices)
    centroids, indices = expect.value("kmeans(values, 3, rounds=1)")
    expect.close("centroids", [0.5, 2.5, 4.0], 0, 0, centroids=centroids)
    expect.equal("indices", np.array([0, 0, 1, 1, 2]), indices=indices)


@exercise("kmeans")
def test_centroids_without_values_wait_and_go_in_the_end():
    values = np.array([0.0, 0.1, 0.2, 10.0, 10.1, 9.9])
    centroids, indices = expect.value("kmeans(values, 5)")
    expect.true("np.isfinite(centroids).all()", "there is no mean of nothing", centroids=centroids)
    alike((centroids, indices), values, 5)
    values = np.array([0.0, 0.4, 8.0, 4.6, 4.7, 4.8, 4.9])
    alike(expect.value("kmeans(values, 5)", values=values), values, 5)


@exercise("kmeans")
def test_few_values_are_the_centroids(rng):
    values = rng.choice([-3.0, 0.5, 0.6, 9.0], size=(4, 6))
    values[0, :4] = -3.0, 0.5, 0.6, 9.0
    for clusters in (4, 7):
        centroids, indices = expect.value("kmeans(values, clusters)", clusters=clusters)
        expect.close("centroids", [-3.0, 0.5, 0.6, 9.0], 1e-6, 0, dtype=F4, centroids=centroids)
        expect.equal("indices", np.searchsorted([-3.0, 0.5, 0.6, 9.0], values), indices=indices)
    same = np.full((2, 2), 0.3)
    centroids, indices = expect.value("kmeans(same, 1)")
    expect.close("centroids", [0.3], 1e-6, 0, dtype=F4, centroids=centroids)
    expect.equal("indices", np.zeros((2, 2), int), indices=indices)


@exercise("kmeans")
def test_errors_that_count_more(rng):
    values = rng.normal(size=(6, 7))
    weights = rng.random((6, 7)) ** 4
    weights[0] = 0
    alike(expect.value("kmeans(values, 4, weights=weights)"), values, 4, weights=weights)
    weights *= 1e-6  # how much they count beside each other does not change
    alike(expect.value("kmeans(values, 4, weights=weights)"), values, 4, weights=weights)


@exercise("kmeans")
def test_values_that_do_not_count_do_not_pull():
    values, weights = np.array([0.0, 1.0, 2.0, 9.0, 10.0]), np.array([0.0, 3.0, 1.0, 0.0, 0.0])
    centroids, indices = expect.value("kmeans(values, 2, weights=weights)")
    expect.close("centroids", [1.25, 10.0], 1e-6, 0, dtype=F4, centroids=centroids)
    expect.equal("indices", np.array([0, 0, 0, 1, 1]), indices=indices)


@exercise("kmeans")
def test_indices_name_the_nearest_centroid(rng):
    values = rng.normal(size=200).astype(F4)
    before = values.copy()
    centroids, indices = expect.value("kmeans(values, 16)")
    expect.true("(np.diff(centroids) > 0).all()", "centroids rise", centroids=centroids)
    expect.equal("indices", closest(values.astype(float), centroids.astype(float)), indices=indices)
    expect.equal("np.unique(indices)", np.arange(len(centroids)), indices=indices)
    expect.equal("values", before)


@exercise("kmeans")
def test_values_and_weights_that_are_none():
    values = np.array([1.0, 2.0, 3.0])
    for bad in (np.zeros(0), np.array([1.0, np.nan]), np.array([np.inf, 1.0])):
        expect.raises("kmeans(bad, 1)", CompressionError, bad=bad)
    for bad in (np.zeros(3), np.array([1.0, -1.0, 1.0]), np.ones(2), np.array([1.0, np.nan, 1.0])):
        expect.raises("kmeans(values, 2, weights=bad)", CompressionError, bad=bad)
    expect.raises("kmeans(values, 0)", CompressionError)


@exercise("kmeans")
def test_a_model_of_few_values(rng):
    model = MLP((24, 16, 5))
    w = model.layers[0].weight.numpy()
    w = np.where(np.abs(w) < np.median(np.abs(w)), 0, w).astype(F4)
    model.layers[0].weight.assign_(w)
    small = expect.value("settled(shared(model, 6))", model=model)
    got = small.layers[0].weight.numpy()
    centroids, indices = clustered(w[w != 0], 6)
    want = w.copy()
    want[w != 0] = centroids[indices]
    expect.close("got", want, 1e-5, 1e-6, got=got)
    expect.true("(got[want == 0] == 0).all()", "what was pruned stays zero", got=got)
