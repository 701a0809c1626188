"""Single layers: first values, the affine map, dropout, layer normalisation."""

import numpy as np
import pytest
from helpers import seeded

import tinytorch as tt
from tinytorch import Tensor, manual_seed
from tinytorch.errors import DataError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.init import fan_in_uniform
from tinytorch.nn.layers import Linear, dropout
from tinytorch.ops import matmul, norm


@exercise("fan_in_uniform")
@pytest.mark.parametrize("fan_in", [4, 100, 1])
def test_bounds_and_spread(fan_in, rng):
    generator, bound = seeded(rng), fan_in**-0.5
    drawn = expect.value("fan_in_uniform((50, 80), fan_in, generator)").numpy()
    expect.equal("drawn.shape", (50, 80))
    expect.equal("str(drawn.dtype)", "float32")
    expect.true("abs(drawn).max() <= bound * 1.000001", f"no number lies beyond {bound:g}")
    expect.true(
        "drawn.max() > 0.95 * bound and drawn.min() < -0.95 * bound", f"they fill -{bound:g} to {bound:g}"
    )
    expect.true("abs(drawn.mean()) < 0.06 * bound", "their mean is near 0")
    expect.true(
        "abs(drawn.std() * 3**0.5 / bound - 1) < 0.04", "they are spread evenly: std = bound / sqrt(3)"
    )


@exercise("fan_in_uniform")
def test_what_it_is(rng):
    generator = seeded(rng)
    expect.true(
        "fan_in_uniform((2, 3), 3, generator).requires_grad", "it is a parameter: it asks for a gradient"
    )
    expect.true("fan_in_uniform((2, 3), 3, generator).is_leaf", "it is a parameter: no op made it")
    expect.equal("fan_in_uniform((3,), 0, generator).shape", (3,))
    expect.true("abs(fan_in_uniform((999,), 0, generator).data).max() > 0.9", "a fan-in of 0 counts as 1")
    expect.true("abs(fan_in_uniform((999,), 0, generator).data).max() <= 1", "a fan-in of 0 counts as 1")


@exercise("fan_in_uniform")
def test_where_numbers_come_from(rng):
    seed = int(rng.integers(2**30))
    one, other = tt.Generator(seed), tt.Generator(seed)
    expect.equal("(fan_in_uniform((9,), 4, one).data == fan_in_uniform((9,), 4, other).data).all()", np.True_)
    expect.equal("(fan_in_uniform((9,), 4, one).data == fan_in_uniform((9,), 4, one).data).any()", np.False_)
    manual_seed(seed)
    first = expect.value("fan_in_uniform((9,), 4)").numpy()
    manual_seed(seed)
    expect.equal("fan_in_uniform((9,), 4)", first)


@exercise("Linear.__init__")
def test_what_a_linear_layer_holds(rng):
    generator = seeded(rng)
    layer = expect.value("Linear(4, 30, generator=generator)")
    expect.equal("(layer.in_features, layer.out_features)", (4, 30))
    expect.equal("(layer.weight.shape, layer.bias.shape)", ((30, 4), (30,)))
    expect.true("layer.weight.requires_grad and layer.bias.requires_grad", "both ask for a gradient")
    expect.equal(
        "sorted(name for name, role in layer._roles.items() if role == 'parameter')", ["bias", "weight"]
    )
    expect.true(
        "0.4 < abs(layer.weight.data).max() <= 0.500001", "the fan-in of the weight is 4, so the bound is 1/2"
    )
    expect.true("0.3 < abs(layer.bias.data).max() <= 0.500001", "the fan-in of the bias is 4 too")


@exercise("Linear.__init__")
def test_without_bias(rng):
    layer = expect.value("Linear(2, 3, bias=False)")
    expect.equal("layer.bias", None)
    expect.equal("layer.weight.shape", (3, 2))
    expect.true("Linear(2, 3).bias is not None", "there is a bias unless told otherwise")


@exercise("Linear.__init__")
def test_both_come_from_the_generator(rng):
    seed = int(rng.integers(2**30))
    one = expect.value("Linear(3, 5, generator=tt.Generator(seed))")
    expect.equal("Linear(3, 5, generator=tt.Generator(seed)).weight", one.weight.numpy())
    expect.equal("Linear(3, 5, generator=tt.Generator(seed)).bias", one.bias.numpy())
    expect.equal("Linear(3, 5, bias=False, generator=tt.Generator(seed)).weight", one.weight.numpy())
    expect.true("abs(one.weight.data[:, 0] - one.bias.data).max() > 0", "the bias has numbers of its own")


def affine(x, w, b):
    """The sum over inputs, one output at a time."""
    out = np.zeros((*x.shape[:-1], len(w)))
    for at in np.ndindex(out.shape):
        out[at] = b[at[-1]] + sum(float(p) * float(q) for p, q in zip(x[at[:-1]], w[at[-1]], strict=True))
    return out


@exercise("Linear.forward")
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (7, 4), (4,), (2, 3, 4), (2, 1, 2, 4), (0, 4), (2, 0, 4)])
def test_affine_map(shape, rng):
    x, w, b = rng.normal(size=shape), rng.normal(size=(5, 4)), rng.normal(size=5)
    before = x.copy(), w.copy(), b.copy()
    expect.close("matmul.Linear().forward(x, w, b)", affine(x, w, b), dtype="float64")
    expect.equal("x", before[0])
    expect.equal("w", before[1])
    expect.equal("b", before[2])


@exercise("Linear.forward")
def test_affine_map_in_float32_and_of_nothing(rng):
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((2, 3), (1, 3), (1,)))
    expect.close("matmul.Linear().forward(x, w, b)", affine(x, w, b), dtype="float32")
    x, w, b = np.ones((2, 0)), np.ones((3, 0)), np.array([1.0, 2.0, 3.0])
    expect.close("matmul.Linear().forward(x, w, b)", np.tile(b, (2, 1)))


@exercise("Linear.forward")
def test_rows_that_lie_apart_in_memory(rng):
    x, w, b = rng.normal(size=(4, 3, 2)).transpose(2, 1, 0), rng.normal(size=(4, 5)).T, rng.normal(size=5)
    expect.close("matmul.Linear().forward(x, w, b)", affine(x, w, b))


@exercise("dropout")
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_how_many_are_dropped_and_what_becomes_of_the_others(p, rng):
    generator, x = seeded(rng), Tensor(rng.uniform(1, 2, size=(100, 100)))
    out = expect.value("dropout(x, p, generator=generator)").numpy()
    kept = out != 0
    want = np.where(kept, x.data / (1 - p), 0)
    expect.close("out", want)
    share = 1 - kept.mean()
    expect.true("abs(share - p) < 0.03", f"about {p:g} of the elements are 0")
    expect.true(
        "abs(kept.mean(0) - (1 - p)).max() < 0.3", "each element is dropped on its own, not whole columns"
    )
    expect.true(
        "abs(kept.mean(1) - (1 - p)).max() < 0.3", "each element is dropped on its own, not whole rows"
    )


@exercise("dropout")
def test_when_nothing_is_dropped(rng):
    x = Tensor(rng.normal(size=(3, 4)))
    expect.close("dropout(x, 0.5, training=False)", x.numpy())
    expect.close("dropout(x, 0.0)", x.numpy())
    expect.true("dropout(x, 0.5, training=False) is x", "outside of training, x itself is the result")
    expect.true("dropout(x, 0.0) is x", "with p = 0, x itself is the result")


@exercise("dropout")
def test_all_dropped_and_dtypes():
    x = Tensor([-2.0, 3.0, 1e30])
    expect.equal("dropout(x, 1.0)", np.zeros(3, np.float32))
    expect.equal("str(dropout(x).dtype)", "float32")
    expect.equal("str(dropout(x.to('float64')).dtype)", "float64")
    expect.equal("dropout(tt.zeros(0, 3)).shape", (0, 3))


@exercise("dropout")
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_gradients_can_flow(p):
    x = tt.ones(3, 4).requires_grad_()
    expect.true("dropout(x, p).requires_grad", "only ops on x made the result, so that gradients can flow")


@exercise("dropout")
def test_probabilities_out_of_range():
    x = Tensor([1.0, 2.0])
    expect.raises("dropout(x, 1.5)", DataError, "1.5")
    expect.raises("dropout(x, -0.1)", DataError, "-0.1")
    expect.raises("dropout(x, 2.0, training=False)", DataError, "2")


@exercise("dropout")
def test_defaults_and_generators(rng):
    x = tt.ones(4000)
    seed = int(rng.integers(2**30))
    out = dropout(x, generator=tt.Generator(seed)).numpy()
    expect.equal("dropout(x, generator=tt.Generator(seed))", out)
    expect.true("abs((out == 0).mean() - 0.5) < 0.06", "p is 0.5 by default")
    manual_seed(seed)
    first = dropout(x).numpy()
    manual_seed(seed)
    expect.equal("dropout(x)", first)
    expect.true("(dropout(x).data != first).any()", "each call draws anew")


def normalised(x, weight, bias, eps):
    """Layer normalisation row by row in float64."""
    rows = x.astype(np.float64).reshape(-1, weight.size)
    out, means, rstds = [], [], []
    for row in rows:
        mean = sum(row) / len(row)
        rstd = (sum((v - mean) ** 2 for v in row) / len(row) + eps) ** -0.5
        out.append((row - mean) * rstd * weight.reshape(-1) + bias.reshape(-1))
        means.append([mean])
        rstds.append([rstd])
    shape = (len(rows), 1)
    return np.array(out).reshape(x.shape), np.array(means).reshape(shape), np.array(rstds).reshape(shape)


@exercise("LayerNorm.forward")
@pytest.mark.parametrize(
    ("shape", "inner"), [((3, 4), (4,)), ((2, 3, 5), (5,)), ((2, 3, 4), (3, 4)), ((4,), (4,)), ((0, 4), (4,))]
)
def test_layer_normalisation(shape, inner, rng):
    x, weight, bias = rng.normal(1, 2, size=shape), rng.normal(size=inner), rng.normal(size=inner)
    before = x.copy(), weight.copy(), bias.copy()
    expect.close("norm.LayerNorm().forward(x, weight, bias)", normalised(x, weight, bias, 1e-5))
    expect.equal("x", before[0])
    expect.equal("weight", before[1])
    expect.equal("bias", before[2])


@exercise("LayerNorm.forward")
def test_what_eps_does(rng):
    x, weight, bias = rng.normal(size=(2, 3)), np.ones(3), np.zeros(3)
    expect.close("norm.LayerNorm(0.5).forward(x, weight, bias)", normalised(x, weight, bias, 0.5))
    same = np.full((2, 3), 7.0)
    expect.close("norm.LayerNorm().forward(same, weight, bias)[0]", np.zeros((2, 3)))


@exercise("LayerNorm.forward")
def test_a_large_mean_in_float32(rng):
    x = (rng.normal(size=(3, 64)) + 3000).astype(np.float32)
    weight, bias = np.ones(64, np.float32), np.zeros(64, np.float32)
    want = normalised(x, weight, bias, 1e-5)[0]
    expect.close("norm.LayerNorm().forward(x, weight, bias)[0]", want, rtol=1e-2, atol=1e-2, dtype="float32")
    expect.equal("[str(part.dtype) for part in norm.LayerNorm().forward(x, weight, bias)]", ["float32"] * 3)
