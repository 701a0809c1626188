"""The layer: its parameter, its forward pass, its use as an output layer, and neighbours."""

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.embedding import Embedding
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


@exercise("Embedding.__init__")
def test_the_weight_is_one_parameter():
    layer = expect.value("Embedding(300, 20, generator=Generator(1))")
    expect.equal("[name for name, _ in layer.named_parameters()]", ["weight"])
    expect.equal("layer.weight.shape", (300, 20))
    expect.equal("(layer.num_embeddings, layer.embedding_dim)", (300, 20))
    expect.true("layer.weight.requires_grad", "the weight is trained")
    expect.equal("str(layer.weight.dtype)", "float32")


@exercise("Embedding.__init__")
def test_first_values_are_normal(rng):
    seed = int(rng.integers(1000))
    values = expect.value("Embedding(400, 50, generator=Generator(seed)).weight").numpy()
    expect.close("values.mean()", 0.0, atol=0.05)
    expect.close("values.std()", 1.0, atol=0.05)
    expect.close("(np.abs(values) > 2).mean()", 0.0455, atol=0.015)


@exercise("Embedding.__init__")
def test_first_values_come_from_the_generator():
    first = Generator(7).randn(6, 3).numpy()
    expect.close("Embedding(6, 3, generator=Generator(7)).weight", first)


INIT = "Embedding.__init__"


def layer_of(weight):
    """A layer with this weight."""
    layer = Embedding(*weight.shape)
    layer.weight.assign_(Tensor(weight.astype(np.float32)))
    return layer


@exercise(INIT, "Lookup.forward", "Embedding.forward")
def test_vectors_of_ids(rng):
    weight = rng.normal(size=(5, 3))
    layer = layer_of(weight)
    expect.close("layer(Tensor([[4, 0], [2, 4]]))", weight[[[4, 0], [2, 4]]])
    expect.close("layer(Tensor(3))", weight[3])
    expect.raises("layer(Tensor([5]))", ShapeError, "5")
    expect.raises("layer(Tensor([-1]))", ShapeError, "-1")


@exercise(INIT, "Lookup.forward", "sum_rows", "TakeGrad.forward", "Embedding.forward")
def test_only_rows_that_were_used_get_a_gradient(rng):
    layer = layer_of(rng.normal(size=(5, 2)))
    (expect.value("layer(Tensor([1, 3, 1]))") * Tensor([[1.0], [2.0], [4.0]])).sum().backward()
    expect.close("layer.weight.grad", np.array([[0, 0], [5, 5], [0, 0], [2, 2], [0, 0]]))


@exercise(INIT, "Embedding.logits")
def test_scores_of_all_ids(rng):
    weight, values = rng.normal(size=(5, 3)), rng.normal(size=(2, 4, 3))
    layer, x = layer_of(weight), Tensor(values.astype(np.float32))
    expect.close("layer.logits(x)", np.einsum("btd,vd->btv", values, weight), rtol=1e-3, atol=1e-4)
    row = Tensor(values[0, 0].astype(np.float32))
    expect.close("layer.logits(row)", weight @ values[0, 0], rtol=1e-3, atol=1e-4)


@exercise(INIT, "Lookup.forward", "sum_rows", "TakeGrad.forward", "Embedding.forward", "Embedding.logits")
def test_a_tied_weight_gets_both_gradients(rng):
    weight = rng.normal(size=(4, 3))
    layer = layer_of(weight)
    out = expect.value("layer.logits(layer(Tensor([2, 2, 0])))")
    g = rng.normal(size=(3, 4))
    (out * Tensor(g.astype(np.float32))).sum().backward()
    want = g.T @ weight[[2, 2, 0]]
    for row, id in zip(g @ weight, [2, 2, 0], strict=True):
        want[id] += row
    expect.close("layer.weight.grad", want, rtol=1e-3, atol=1e-4)


@exercise(INIT, "Embedding.nearest")
def test_nearest_by_direction_not_by_length():
    layer = layer_of(np.array([[1.0, 0.0], [9.0, 1.0], [0.0, 0.0], [-5.0, 0.0], [0.1, 0.1]]))
    expect.equal("[id for id, _ in layer.nearest(0, k=10)]", [1, 4, 2, 3])
    cosines = np.array([9 / 82**0.5, 0.5**0.5, 0.0, -1.0])
    expect.close("[cosine for _, cosine in layer.nearest(0, k=10)]", cosines)
    expect.equal("[id for id, _ in layer.nearest(2)]", [0, 1, 3, 4])
    expect.close("[cosine for _, cosine in layer.nearest(2)]", np.zeros(4))


@exercise(INIT, "Embedding.nearest")
def test_how_many_neighbours(rng):
    weight = rng.normal(size=(12, 4))
    layer = layer_of(weight)
    unit = weight / np.sqrt((weight**2).sum(1, keepdims=True))
    cosines = unit @ unit[7]
    order = sorted((i for i in range(12) if i != 7), key=lambda i: -cosines[i])
    expect.equal("[id for id, _ in layer.nearest(7)]", order[:5])
    expect.equal("[id for id, _ in layer.nearest(7, 3)]", order[:3])
    expect.equal("layer.nearest(7, 0)", [])
    expect.equal("len(layer.nearest(7, 99))", 11)
    expect.close("[cosine for _, cosine in layer.nearest(7, 99)]", cosines[order])
    expect.true(
        "type(layer.nearest(7)[0][0]) is int and type(layer.nearest(7)[0][1]) is float",
        "they are plain numbers",
    )


@exercise(INIT, "Embedding.nearest")
def test_equal_neighbours_go_by_id():
    layer = layer_of(np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 1.0], [0.0, 4.0], [2.0, 0.0], [0.0, -1.0]]))
    expect.equal("[id for id, _ in layer.nearest(2)]", [0, 3, 1, 4, 5])
    expect.equal("[id for id, _ in layer.nearest(3, 1)]", [0])


@exercise(INIT, "Embedding.nearest")
def test_ids_without_neighbours():
    layer = layer_of(np.ones((3, 2)))
    expect.raises("layer.nearest(3)", ShapeError, "3")
    expect.raises("layer.nearest(-1)", ShapeError, "-1")
