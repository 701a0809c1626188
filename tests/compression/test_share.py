"""Weight sharing: k-means against SciPy and brute force, the book's gradient against finite differences."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

import tinytorch as tt
from tinytorch import nn
from tinytorch.compression.kmeans import kmeans, linear_start, nearest
from tinytorch.compression.share import Shared, SharedEmbedding, SharedLinear, settled, shared, sharing
from tinytorch.errors import CompressionError, ShapeError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.optim import SGD, AdamW
from tinytorch.random import Generator

numbers = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30)


# ---------------------------------------------------------------- k-means


@given(numbers, st.integers(1, 6))
def test_start_is_even(values: list[float], clusters: int) -> None:
    v = np.array(values, np.float32)
    found = linear_start(v, clusters)
    assert found.shape == (clusters,)
    if clusters == 1:
        assert found[0] == (float(v.min()) + float(v.max())) / 2
    else:
        step = (float(v.max()) - float(v.min())) / (clusters - 1)
        np.testing.assert_allclose(found, v.min() + step * np.arange(clusters), atol=1e-9 * 100)


@given(numbers, numbers)
def test_nearest_is_that_of_all_distances(values: list[float], centroids: list[float]) -> None:
    v, c = np.array(values, np.float32), np.unique(np.array(centroids, np.float32))
    distances = np.abs(v[:, None].astype(np.float64) - c[None].astype(np.float64))
    found = nearest(v, c)
    assert np.array_equal(distances[np.arange(len(v)), found], distances.min(1))


def test_half_way_goes_to_the_lower() -> None:
    assert nearest(np.array([[1.0, 3.0], [5.0, 3.1]]), np.array([0.0, 2.0, 4.0, 6.0])).tolist() == [
        [0, 1],
        [2, 2],
    ]


def lloyd(values: np.ndarray, start: np.ndarray, weights: np.ndarray, rounds: int) -> np.ndarray:
    """As the definition says, with every distance in full."""
    c = start.copy()
    for _ in range(rounds):
        taken = np.abs(values[:, None] - c[None]).argmin(1)
        for j in range(len(c)):
            if weights[taken == j].sum() > 0:
                c[j] = np.average(values[taken == j], weights=weights[taken == j])
    return c


@given(st.integers(0, 10_000), st.integers(1, 7), st.booleans())
def test_rounds_are_those_of_lloyd(seed: int, clusters: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=60) ** 3
    weights = rng.random(60) if weighted else np.ones(60)
    wanted = lloyd(
        values,
        np.linspace(values.min(), values.max(), clusters) if clusters > 1 else np.zeros(1),
        weights,
        200,
    )
    centroids, indices = kmeans(values, clusters, weights=weights if weighted else None)
    assert centroids.dtype == np.float32
    taken = np.abs(values[:, None] - wanted[None]).argmin(1)
    np.testing.assert_allclose(centroids, wanted[np.unique(taken)], rtol=1e-5, atol=1e-6)
    assert np.array_equal(indices, nearest(values, centroids))
    assert np.array_equal(np.unique(indices), np.arange(len(centroids)))


def test_same_as_scipy_from_the_same_start() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    start = linear_start(values, 16)
    wanted, taken = kmeans2(values[:, None], start[:, None], iter=2000, minit="matrix", missing="warn")
    centroids, indices = kmeans(values, 16, rounds=2000)
    assert len(centroids) == 16
    np.testing.assert_allclose(centroids, wanted[:, 0], atol=1e-4)
    error = np.square(values - centroids[indices]).sum()
    assert error <= np.square(values - wanted[taken, 0]).sum() * (1 + 1e-6)


def test_one_round_is_one_round() -> None:
    values = np.array([0.0, 1.0, 2.0, 9.0, 10.0])
    centroids, _ = kmeans(values, 3, rounds=1)
    assert centroids.tolist() == [1.0, 9.5]  # from 0, 5, 10: nothing is nearest to 5, which is dropped
    # half-way between 0 and 2, the 1 counts for the lower
    assert kmeans(np.array([0.0, 1.0, 2.0]), 2, rounds=1)[0].tolist() == [0.5, 2.0]
    assert kmeans(values, 2, rounds=0)[0].tolist() == [0.0, 10.0]


def test_near_the_best_of_all_partitions() -> None:
    rng = np.random.default_rng(3)
    values = np.sort(np.concatenate([rng.normal(at, 0.2, 4) for at in (-3, 0, 2)]))

    def error(cuts: tuple[int, ...]) -> float:
        return sum(float(np.square(part - part.mean()).sum()) for part in np.split(values, cuts))

    best = min(error(cuts) for cuts in combinations(range(1, len(values)), 2))
    centroids, indices = kmeans(values, 3)
    assert float(np.square(values - centroids[indices]).sum()) <= best * (1 + 1e-5)


@given(numbers, st.integers(1, 30))
def test_fewer_distinct_values_than_clusters_are_exact(values: list[float], clusters: int) -> None:
    v = np.array(values, np.float32)
    centroids, indices = kmeans(v, clusters)
    assert len(centroids) <= clusters
    assert np.all(np.diff(centroids) > 0)
    if len(np.unique(v)) <= clusters:
        assert np.array_equal(centroids[indices], v)


def test_weights_say_whose_error_counts() -> None:
    values = np.array([[0.0, 1.0], [2.0, 10.0]])
    centroids, _ = kmeans(values, 2, weights=np.array([[0.0, 3.0], [1.0, 1.0]]))
    assert centroids.tolist() == [1.25, 10.0]
    assert kmeans(values, 2, weights=np.array([[0.0, 0.0], [0.0, 1.0]]))[0].tolist() == [0.0, 10.0]


@pytest.mark.parametrize(
    ("values", "options", "match"),
    [
        (np.array([]), {}, "no values"),
        (np.array([np.nan, 1.0]), {}, "finite"),
        (np.arange(4.0), {"clusters": 0}, "0 clusters"),
        (np.arange(4.0), {"weights": np.ones(3)}, r"\(3,\) for values \(4,\)"),
        (np.arange(4.0), {"weights": np.zeros(4)}, "not all 0"),
        (np.arange(4.0), {"weights": np.array([-1.0, 1, 1, 1])}, "0 or more"),
    ],
)
def test_bad_values(values: np.ndarray, options: dict, match: str) -> None:
    with pytest.raises(CompressionError, match=match):
        kmeans(values, **{"clusters": 2, **options})


# ---------------------------------------------------------------- a shared tensor


def test_gradient_of_the_book_is_the_sum_over_each_cluster() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(6, 5)).astype(np.float32)
    w[rng.random((6, 5)) < 0.4] = 0
    one = Shared.of(w, 3)
    assert (one.zero, len(one.book)) == (True, 3)
    x, target = rng.normal(size=(4, 5)), rng.normal(size=(4, 6))

    def loss(book: np.ndarray) -> float:
        dense = np.concatenate([[0.0], book])[one.codes.data]
        return float(np.square(x @ dense.T - target).sum())

    out = tt.Tensor(x.astype(np.float32)) @ one().mT - tt.Tensor(target.astype(np.float32))
    (out * out).sum().backward()
    book, step = one.book.data.astype(np.float64), 1e-5
    wanted = [(loss(book + step * e) - loss(book - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(one.book.grad.data, wanted, rtol=1e-4)


def test_codes_need_more_room_for_more_numbers() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    for clusters, dtype in ((100, np.int8), (300, np.int32)):
        one = Shared.of(values, clusters)
        assert one.codes.data.dtype == dtype
        assert np.array_equal(np.unique(one().data), one.book.data)


# ---------------------------------------------------------------- models


def pruned(model: nn.Module, share: float = 0.6, seed: int = 0) -> nn.Module:
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        if p.ndim > 1:
            p.assign_(tt.Tensor(np.where(rng.random(p.shape) < share, 0, p.data).astype(np.float32)))
    return model


def train(
    model: nn.Module, x: tt.Tensor, y: tt.Tensor, steps: int = 8, compiled: bool = False
) -> list[float]:
    optimizer = AdamW(list(model.parameters()), lr=1e-2, weight_decay=0.0)

    def step(x: tt.Tensor, y: tt.Tensor) -> tt.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = tt.compile(step) if compiled else step
    losses = [float(run(x, y).item()) for _ in range(steps)]
    if compiled:
        assert run.reasons == []
    return losses


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_training_moves_the_numbers_and_no_zero(kind: str, compiled: bool) -> None:
    g = Generator(1)
    model = pruned(MLP((64, 40, 10), generator=g) if kind == "mlp" else CNN(image_size=8, generator=g))
    x = Generator(2).rand(32, 1, 8, 8)
    y = tt.Tensor(np.arange(32) % 10)
    twin = shared(model, 8)
    start = {p: m.weight.data.copy() for p, m in settled(twin).named_modules() if hasattr(m, "weight")}
    losses = train(twin, x, y, compiled=compiled)
    assert losses[-1] < losses[0]
    plain = settled(twin)
    np.testing.assert_allclose(plain(x).data, twin(x).data, atol=1e-6)
    for path, layer in dict(plain.named_modules()).items():
        if path not in start:
            continue
        before, after = dict(model.named_modules())[path].weight.data, layer.weight.data
        assert type(layer) in (nn.Linear, nn.Conv2d)
        assert np.array_equal(before == 0, after == 0)
        assert not np.array_equal(after, start[path])
        assert len(np.unique(after)) <= 9


def test_compiled_and_eager_train_alike() -> None:
    model = pruned(MLP((64, 40, 10), generator=Generator(1)))
    x, y = Generator(2).rand(32, 64), tt.Tensor(np.arange(32) % 10)
    twins = [shared(model, 8) for _ in range(2)]
    for twin, compiled in zip(twins, (False, True), strict=True):
        train(twin, x, y, 4, compiled)
    for a, b in zip(*(t.parameters() for t in twins), strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-5)


def test_a_step_is_one_on_the_dense_weight_averaged_in_each_cluster() -> None:
    model = MLP((30, 20, 5), generator=Generator(0))
    twin = shared(model, 4, biases=None)
    dense = settled(twin)
    x, y = Generator(2).rand(16, 30), tt.Tensor(np.arange(16) % 5)
    for one in (twin, dense):
        optimizer = SGD(list(one.parameters()), lr=0.1)
        nn.functional.cross_entropy(one(x), y).backward()
        grad = dense.layers[0].weight.grad
        optimizer.step()
    codes = twin.layers[0].weights.codes.data
    sums = np.bincount(codes.reshape(-1), grad.data.reshape(-1).astype(np.float64))
    wanted = shared(model, 4, biases=None).layers[0].weights.book.data - 0.1 * sums
    np.testing.assert_allclose(twin.layers[0].weights.book.data, wanted, atol=1e-6)


def test_what_is_shared_and_what_stays() -> None:
    model = MLP((64, 32, 10), generator=Generator(0))
    before = {name: t.numpy() for name, t in model.state_dict().items()}
    twin = shared(model, {"layers.2": 4})
    assert [type(layer).__name__ for layer in twin.layers] == ["Linear", "ReLU", "SharedLinear"]
    assert all(np.array_equal(before[name], t.data) for name, t in model.state_dict().items())
    assert type(shared(MLP((6, 4, 3)), 64).layers[0]) is nn.Linear  # a book of 64 would be larger
    wide = shared(MLP((64, 200, 10), generator=Generator(0)), 4, biases=8)
    assert len(np.unique(settled(wide).layers[0].bias.data)) == 8
    assert shared(MLP((64, 200, 10)), 4).layers[2].biases is None  # ten numbers need no book of 32
    assert isinstance(wide.layers[0].biases, Shared)
    assert shared(MLP((64, 200, 10)), 4, biases=None).layers[0].biases is None


def test_zeros_move_where_they_may() -> None:
    model = pruned(MLP((64, 32, 10), generator=Generator(0)))
    assert np.array_equal(
        settled(shared(model, 8)).layers[0].weight.data == 0, model.layers[0].weight.data == 0
    )
    free = shared(model, 8, keep_zeros=False).layers[0].weights
    assert not free.zero
    assert len(free.book) <= 8
    empty = MLP((64, 32, 10))
    empty.layers[0].weight.assign_(tt.Tensor(np.zeros((32, 64), np.float32)))
    assert [type(m).__name__ for m in shared(empty, 8).layers] == ["Linear", "ReLU", "SharedLinear"]


def test_tied_weights_stay_tied() -> None:
    model = GPT(vocab_size=96, context=8, width=16, heads=2, layers=1)
    ids = tt.Tensor(np.arange(8)[None] % 96)
    twin = shared(model, 16)
    plain = settled(twin)
    assert any(isinstance(m, SharedEmbedding) for m in twin.modules())
    np.testing.assert_allclose(twin(ids).data, plain(ids).data, atol=1e-5)
    assert plain.num_parameters() == model.num_parameters()
    assert plain.state_dict().keys() == model.state_dict().keys()
    twin(ids).sum().backward()
    assert all(p.grad is not None for p in twin.parameters())


def test_a_layer_in_two_places_stays_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(40, 40)
            self.b = self.a

        def forward(self, x: tt.Tensor) -> tt.Tensor:
            return self.b(self.a(x))

    twin = shared(Twice(), 4)
    assert isinstance(twin.a, SharedLinear)
    assert twin.a is twin.b
    plain = settled(twin)
    assert plain.a is plain.b


def test_embedding_rows() -> None:
    twin = shared(nn.Sequential(nn.Embedding(50, 8, generator=Generator(0))), 8)
    ids = tt.Tensor([[3, 49], [0, 3]])
    assert np.array_equal(twin(ids).data, settled(twin)[0].weight.data[ids.data])
    with pytest.raises(ShapeError):
        twin(tt.Tensor([-1]))


def test_importance_moves_the_numbers() -> None:
    model = MLP((64, 32, 10), generator=Generator(0))
    w = model.layers[0].weight.data
    importance = np.where(w > 0, 1.0, 1e-6)
    errors = []
    for counted in (None, {"layers.0": importance}):
        near = settled(shared(model, {"layers.0": 6}, importance=counted)).layers[0].weight.data
        errors.append(float(np.sum(importance * np.square(w.astype(np.float64) - near))))
    assert errors[1] < errors[0]


def test_report() -> None:
    model = MLP((64, 32, 10), generator=Generator(0))
    twin = shared(model, 8)
    report = sharing(model, twin)
    row = report.rows[0]
    w, near = model.layers[0].weight.data, settled(twin).layers[0].weight.data
    assert (row.path, row.shape, row.after, row.bits) == ("layers.0", (32, 64), 8, 3)
    assert row.before == len(np.unique(w))
    np.testing.assert_allclose(row.error, np.linalg.norm(w - near) / np.linalg.norm(w), rtol=1e-5)
    assert repr(report) == repr(sharing(model, settled(twin)))
    assert "layers.2" in repr(report)
    with pytest.raises(CompressionError, match="same layers"):
        sharing(model, MLP((64, 31, 10)))


def test_state_is_that_of_any_model() -> None:
    models = (pruned(MLP((64, 40, 10), generator=Generator(seed))) for seed in (0, 1))
    twin, other = (shared(model, 8, biases=None) for model in models)
    other.load_state_dict(twin.state_dict())
    x = Generator(2).rand(3, 64)
    assert np.array_equal(other(x).data, twin(x).data)


@pytest.mark.parametrize(
    ("model", "options", "match"),
    [
        (MLP((64, 32, 10)), {"clusters": 0}, "0 clusters"),
        (MLP((64, 32, 10)), {"clusters": {"layers.9": 4}}, "layers.9"),
        (nn.Linear(64, 64), {}, "itself"),
        (nn.Sequential(nn.ReLU()), {}, "no Linear"),
        (shared(MLP((64, 32, 10)), 4), {}, "already"),
    ],
)
def test_bad_requests(model: nn.Module, options: dict, match: str) -> None:
    with pytest.raises(CompressionError, match=match):
        shared(model, **options)
