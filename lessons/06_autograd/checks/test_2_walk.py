"""The walk: the order of nodes, gradients summed and carried back, and what leaves get."""

import numpy as np
import pytest
from helpers import Cube, FirstOnly, carry, handed_out, leaf, most_held, out_of_order, summed_by_hand

import tinytorch as tt
from tinytorch.autograd import accumulate, topological_order, unbroadcast
from tinytorch.errors import GradientError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.tensor import Tensor


@exercise("unbroadcast")
@pytest.mark.parametrize(
    "shape", [(4,), (1,), (), (3, 1), (1, 4), (1, 1), (2, 3, 1), (1, 3, 1), (2, 1, 4), (1, 1, 4), (1, 1, 1)]
)
def test_sum_over_what_was_broadcast(shape, rng):
    g = rng.normal(size=(2, 3, 4))
    expect.close("unbroadcast(Tensor(g), shape)", summed_by_hand(g, shape))


@exercise("unbroadcast")
def test_sizes_of_zero_and_one(rng):
    g = rng.normal(size=(3, 1, 2))
    expect.close("unbroadcast(Tensor(g), (1, 2))", summed_by_hand(g, (1, 2)))
    expect.close("unbroadcast(Tensor(g), (1, 1, 1))", summed_by_hand(g, (1, 1, 1)))
    expect.close("unbroadcast(Tensor(np.ones((0, 4))), (1, 4))", np.zeros((1, 4)))


@exercise("unbroadcast")
def test_a_sum_that_can_be_differentiated(rng):
    g = leaf(rng.normal(size=(3, 4)))
    expect.true("unbroadcast(g, (4,)).requires_grad", "the sum is made by ops on the tensor g")
    g = Tensor(np.ones((3, 4), np.float32))
    expect.close("unbroadcast(g, (3, 1))", np.full((3, 1), 4.0), dtype="float32")


@exercise("topological_order")
def test_order_of_a_chain():
    x = leaf([1.0, 2.0])
    root = (x * 2.0).tanh().sum()._node
    expect.true("isinstance(topological_order(root), list)", "the order is a list")
    expect.equal("[node.op.name for node in topological_order(root)]", ["sum", "tanh", "mul"])


@exercise("topological_order")
@pytest.mark.parametrize("swap", [False, True])
def test_a_node_comes_after_all_that_use_it(swap):
    x = leaf(2.0)
    early = x * 3.0
    late = early.exp().tanh()
    root = (late + early if swap else early + late)._node
    expect.equal("[node.op.name for node in topological_order(root)]", ["add", "tanh", "exp", "mul"])


@exercise("topological_order")
def test_each_node_once():
    x = leaf(1.0)
    y = x * 1.0
    for _ in range(14):
        y = y + y
    root = y._node
    expect.equal("[node.op.name for node in topological_order(root)]", ["add"] * 14 + ["mul"])


@exercise("topological_order")
def test_any_graph(rng):
    tensors = [leaf(1.0), leaf(2.0)]
    for _ in range(20):
        i, j = rng.integers(len(tensors), size=2)
        tensors.append(tensors[i] + tensors[j])
    total = tensors[2]
    for t in tensors[3:]:
        total = total + t
    root = total._node
    expect.equal("len(topological_order(root))", 39)
    expect.equal("len(set(topological_order(root)))", 39)
    expect.equal("out_of_order(topological_order(root))", [])


@exercise("topological_order")
def test_deep_graphs_need_a_loop():
    x = leaf(1.0)
    y = x
    for _ in range(3000):
        y = y + x
    root = y._node
    expect.equal("len(topological_order(root))", 3000)


@exercise("topological_order")
def test_an_edge_is_listed_but_not_passed():
    x = leaf(1.0)
    behind = x.exp()
    border = behind.tanh()
    root = (border * 2.0)._node
    expect.equal("[node.op.name for node in topological_order(root, {border._node})]", ["mul", "tanh"])
    root = (border * behind)._node
    expect.equal(
        "sorted(node.op.name for node in topological_order(root, {border._node}))", ["exp", "mul", "tanh"]
    )


@exercise("topological_order")
def test_a_freed_graph():
    x = leaf(1.0)
    inner = x * 2.0
    outer = inner.exp()
    inner._node.free()
    expect.raises("topological_order(inner._node)", GradientError, "retain_graph")
    expect.raises("topological_order(outer._node)", GradientError, "retain_graph")


@exercise("propagate")
def test_a_chain_and_a_choice_of_gradient(rng):
    x, w, g = leaf(rng.normal(size=4)), leaf(rng.normal(size=4)), rng.normal(size=4)
    expect.close("carry((x * w).tanh(), g, [x])", [g / np.cosh(x.data * w.data) ** 2 * w.data])
    expect.close("carry((x * w).tanh(), g, [w])", [g / np.cosh(x.data * w.data) ** 2 * x.data])


@exercise("propagate")
def test_gradients_add_up_where_a_value_is_used_twice(rng):
    x, g = leaf(rng.normal(size=3)), rng.normal(size=3)
    expect.close("carry(x * x, g, [x])", [2 * x.data * g])
    y = x * 2.0
    out = y * y * y + y
    expect.close("carry(out, g, [x, y._node])", [2 * g * (12 * x.data**2 + 1), g * (12 * x.data**2 + 1)])


@exercise("propagate")
def test_who_is_given_what():
    x, w = leaf(2.0), leaf(3.0)
    y = x * w
    expect.equal("sorted(handed_out((y + y).exp(), np.array(1.0)))", ["add", "exp", "leaf", "leaf", "mul"])
    out = (x * w).exp()
    expect.close("carry(out, np.array(0.5), [out._node])", [0.5])


@exercise("propagate")
def test_constants_are_given_nothing():
    x, constant = leaf(2.0), Tensor(np.array(5.0))
    expect.equal("carry(x * constant, np.array(1.0), [constant])", [None])


@exercise("propagate")
def test_a_branch_that_nothing_arrives_at():
    x, w = leaf(2.0), leaf(3.0)
    silent = w.exp()
    out = FirstOnly()(x * 2.0, silent) * 3.0
    expect.equal("carry(out, np.array(1.0), [w, silent._node], retain_graph=True)", [None, None])
    expect.close("carry(out, np.array(1.0), [x])", [6.0])
    expect.equal("silent._node.inputs", ())


@exercise("propagate")
def test_the_graph_is_freed_unless_retained():
    x = leaf(2.0)
    y = x * 3.0
    out = y.exp()
    expect.close("carry(out, np.array(1.0), [x], retain_graph=True)", [3 * np.exp(6.0)])
    expect.equal("(len(y._node.inputs), len(out._node.inputs))", (2, 1))
    expect.close("carry(out, np.array(1.0), [x])", [3 * np.exp(6.0)])
    expect.equal("(y._node.inputs, out._node.inputs)", ((), ()))


@exercise("propagate")
@pytest.mark.parametrize("retain", [False, True])
def test_gradients_that_were_used_are_let_go(retain):
    y = leaf(0.5)
    for _ in range(20):
        y = (y * 2.0).tanh()
    expect.true(
        "most_held(y, np.array(1.0), retain) <= 6",
        "of a chain of 40 nodes only a few gradients are held at the same time",
    )


@exercise("propagate")
def test_gradients_of_gradients_through_a_fused_op():
    x = leaf([-1.0, 0.3, 2.0])
    expect.close("carry(Cube()(x), np.ones(3), [x])", [3 * x.data**2])
    expect.equal("carry(Cube()(x), np.ones(3), [x])[0].requires_grad", False)
    first = expect.value("carry(Cube()(x), np.ones(3), [x], create_graph=True)[0]")
    expect.close("first", 3 * x.data**2)
    expect.close("carry(first, np.ones(3), [x])", [6 * x.data])


@exercise("accumulate")
def test_a_first_gradient_and_a_second(rng):
    x, g, h = leaf(np.zeros(3)), Tensor(rng.normal(size=3)), Tensor(rng.normal(size=3))
    taken = set()
    expect.value("accumulate(x, g, taken)")
    expect.close("x.grad", g.numpy())
    expect.true("id(x.grad) in taken", "taken holds the id of the leaf's gradient")
    before, was = x.grad, g.numpy()
    expect.value("accumulate(x, h, taken)")
    expect.close("x.grad", was + h.numpy())
    expect.close("before", was)
    expect.true("id(x.grad) in taken", "taken holds the id of the leaf's new gradient")


@exercise("accumulate")
def test_two_leaves_do_not_share_a_gradient():
    x, y, g = leaf(np.zeros(2)), leaf(np.zeros(2)), Tensor(np.ones(2))
    taken = set()
    expect.value("accumulate(x, g, taken)")
    expect.value("accumulate(y, g, taken)")
    expect.close("y.grad", np.ones(2))
    expect.equal("np.shares_memory(x.grad.data, y.grad.data)", False)
    expect.true("id(y.grad) in taken", "taken holds the id of each leaf's gradient")


@exercise("accumulate")
def test_what_the_caller_holds_is_not_shared():
    x, g = leaf(np.zeros(2)), Tensor(np.ones(2))
    taken = {id(g)}
    expect.value("accumulate(x, g, taken)")
    expect.close("x.grad", np.ones(2))
    expect.equal("np.shares_memory(x.grad.data, g.data)", False)


@exercise("accumulate")
def test_a_view_is_cloned():
    whole, x = Tensor(np.arange(6.0)), leaf(np.zeros((2, 3)))
    g, taken = whole.reshape(2, 3), set()
    expect.value("accumulate(x, g, taken)")
    expect.close("x.grad", np.arange(6.0).reshape(2, 3))
    expect.equal("np.shares_memory(x.grad.data, whole.data)", False)


@exercise("accumulate")
def test_a_whole_model(rng):
    x, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    w1, b1, w2 = (rng.normal(size=shape) for shape in ((3, 4), (4,), (4, 2)))

    def loss(w1, b1, w2):
        p = np.tanh(x @ w1 + b1) @ w2
        p = np.exp(p) / np.exp(p).sum(1, keepdims=True)
        return (p / (1.5 + target**2)).mean()

    leaves = [leaf(a) for a in (w1, b1, w2)]
    out = tt.softmax((Tensor(x) @ leaves[0] + leaves[1]).tanh() @ leaves[2], 1)
    total = (out / Tensor(1.5 + target**2)).mean()
    expect.value("total.backward()")
    for i, name in enumerate(("w1", "b1", "w2")):
        arrays, step = [w1, b1, w2], np.zeros_like([w1, b1, w2][i])
        want = np.zeros_like(step)
        for at in np.ndindex(step.shape):
            step[at] = 1e-6
            sides = [loss(*[a + s * step if j == i else a for j, a in enumerate(arrays)]) for s in (1, -1)]
            want[at] = (sides[0] - sides[1]) / 2e-6
            step[at] = 0
        scope = {name: leaves[i]}
        expect.close(f"{name}.grad", want, rtol=1e-4, atol=1e-7, **scope)
