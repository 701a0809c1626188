"""Modules in modules: names, parameters, modes, states, and one module after the other."""

import numpy as np
from helpers import Pair, Scale, Tied, paths_of

from tinytorch import Tensor
from tinytorch.errors import CheckpointError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.containers import Sequential
from tinytorch.nn.module import Module, Parameter


def nested():
    """A pair whose left side is a pair."""
    return Pair(Pair())


@exercise("Module._walk")
def test_names_of_modules():
    expect.equal("[name for name, _ in nested()._walk()]", ["", "left", "left.left", "left.right", "right"])
    expect.equal(
        "[name for name, _ in nested()._walk('model')][:3]", ["model", "model.left", "model.left.left"]
    )
    expect.equal("[name for name, _ in Scale()._walk('a.b')]", ["a.b"])


@exercise("Module._walk")
def test_modules_themselves():
    model = nested()
    expect.equal(
        "[id(m) for _, m in model.left._walk()]",
        [id(m) for m in (model.left, model.left.left, model.left.right)],
    )


@exercise("Module._walk")
def test_a_module_in_two_places_has_two_names():
    shared = Pair()
    model = Pair(shared, shared)
    names = ["", "left", "left.left", "left.right", "right", "right.left", "right.right"]
    expect.equal("[name for name, _ in model._walk()]", names)


@exercise("Module.named_parameters")
def test_names_of_parameters():
    model = nested()
    names = ["weight", "left.weight", "left.left.factor", "left.right.factor", "right.factor"]
    expect.equal("[name for name, _ in model.named_parameters()]", names)
    expect.true(
        "dict(model.named_parameters())['left.weight'] is model.left.weight",
        "they are the tensors themselves",
    )
    expect.equal("[*Module().named_parameters()]", [])


@exercise("Module.named_parameters")
def test_a_shared_parameter_is_named_once():
    model = Tied()
    expect.equal("[name for name, _ in model.named_parameters()]", ["first.factor"])
    expect.equal("model.num_parameters()", 1)
    shared = Scale()
    expect.equal("[name for name, _ in Pair(shared, shared).named_parameters()]", ["weight", "left.factor"])


@exercise("Module.named_parameters")
def test_equal_values_are_not_one_parameter():
    expect.equal("len([*Pair(Scale(1.0), Scale(1.0)).named_parameters()])", 3)


@exercise("Module.train")
def test_modes():
    model = nested()
    expect.equal("[m.training for m in model.modules()]", [True] * 5)
    expect.true("model.train(False) is model", "train returns the module")
    expect.equal("[m.training for m in model.modules()]", [False] * 5)
    expect.true("model.train() is model", "train returns the module")
    expect.equal("[m.training for m in model.modules()]", [True] * 5)


@exercise("Module.train")
def test_a_part_alone():
    model = nested()
    expect.value("model.left.train(False)")
    expect.equal("[m.training for m in model.modules()]", [True, False, False, False, True])
    expect.value("model.eval()")
    expect.equal("model.training", False)


@exercise("Module.state_dict")
def test_what_a_state_holds():
    names = ["weight", "left.factor", "left.calls", "right.factor", "right.calls"]
    expect.equal("sorted(Pair().state_dict())", sorted(names))
    model = Pair()
    expect.equal("model.state_dict()['right.factor']", np.array([3.0], np.float32))
    expect.equal("model.state_dict()['left.calls']", np.array([0, 0]))
    expect.equal("isinstance(model.state_dict(), dict)", True)


@exercise("Module.state_dict")
def test_memory_is_shared_but_no_gradient_is_asked_for():
    model = Pair()
    state = expect.value("model.state_dict()")
    expect.equal("[t.requires_grad for t in state.values()]", [False] * 5)
    model.weight.assign_([[7.0, 8.0, 9.0]])
    expect.equal("state['weight']", np.array([[7.0, 8.0, 9.0]], np.float32))
    expect.equal("model.weight.requires_grad", True)


@exercise("Module.state_dict")
def test_a_tied_parameter_has_all_its_names():
    expect.equal(
        "sorted(Tied().state_dict())", ["first.calls", "first.factor", "second.calls", "second.factor"]
    )


def other_state(model):
    """A state that fits the model, with other values."""
    return {name: t.numpy() + np.asarray(1, t.numpy().dtype) for name, t in model.state_dict().items()}


def values(model):
    """All values of a model, copied."""
    return {name: t.tolist() for name, t in model.state_dict().items()}


@exercise("Module.load_state_dict")
def test_values_are_copied():
    model = Pair()
    weight, state = model.weight, other_state(model)
    want = {name: value.tolist() for name, value in state.items()}
    expect.value("model.load_state_dict(state)")
    expect.equal("values(model)", want)
    expect.true("model.weight is weight", "the parameters stay the tensors they were")
    state["weight"][...] = 99.0
    expect.equal("values(model)", want)
    expect.equal("model.weight.requires_grad", True)


@exercise("Module.load_state_dict")
def test_tensors_of_another_model():
    source, model = Pair(Scale(8.0)), Pair()
    expect.equal("model.load_state_dict(source.state_dict())", None)
    expect.equal("model.left.factor", np.array([8.0], np.float32))


@exercise("Module.load_state_dict")
def test_names_that_do_not_fit():
    model = Pair()
    state, before = other_state(model), values(model)
    del state["left.factor"]
    state["middle.factor"] = np.ones(1, np.float32)
    expect.raises(
        "model.load_state_dict(state)",
        CheckpointError,
        "missing left.factor",
        "unexpected middle.factor",
        "2",
    )
    expect.equal("values(model)", before)
    expect.value("model.load_state_dict(state, strict=False)")
    expect.equal("(model.left.factor.tolist(), model.right.factor.tolist())", ([2.0], [4.0]))


@exercise("Module.load_state_dict")
def test_shapes_and_dtypes_that_do_not_fit():
    model = Pair()
    state, before = other_state(model), values(model)
    state["weight"] = np.ones((3, 1), np.float32)
    state["right.calls"] = np.ones(2, np.float32)
    expect.raises(
        "model.load_state_dict(state)", CheckpointError, "weight: shape (3, 1)", "right.calls: dtype float32"
    )
    expect.equal("values(model)", before)
    expect.raises("model.load_state_dict(state, strict=False)", CheckpointError, "weight", "right.calls")
    expect.equal("values(model)", before)


@exercise("Module.load_state_dict")
def test_all_that_does_not_fit_is_listed():
    model = Pair()
    state = {name: np.ones((4, *value.shape), value.dtype) for name, value in other_state(model).items()}
    expect.raises("model.load_state_dict(state)", CheckpointError, *[f"{name}: shape" for name in state])
    state["middle.factor"] = np.ones(1, np.float32)
    del state["weight"]
    words = [f"{name}: shape" for name in state if name != "middle.factor"]
    expect.raises(
        "model.load_state_dict(state)", CheckpointError, "missing weight", "unexpected middle.factor", *words
    )


@exercise("Module.load_state_dict")
def test_one_name_of_a_tied_parameter_is_enough():
    model = Tied()
    state = other_state(model)
    del state["second.factor"]
    expect.value("model.load_state_dict(state)")
    expect.equal("model.second.factor", np.array([6.0], np.float32))
    del state["first.factor"]
    expect.raises(
        "model.load_state_dict(state)", CheckpointError, "missing first.factor", "missing second.factor"
    )


class Shift(Module):
    """x + by."""

    def __init__(self, by):
        super().__init__()
        self.by = Parameter([by])

    def forward(self, x):
        """The sum."""
        return x + self.by


@exercise("Sequential.forward")
def test_one_after_the_other():
    x = Tensor([1.0, 2.0])
    expect.close("Sequential(Scale(2.0), Shift(1.0), Scale(10.0))(x)", [30.0, 50.0])
    expect.close("Sequential(Shift(1.0), Scale(2.0))(x)", [4.0, 6.0])
    expect.true("Sequential()(x) is x", "with no modules, x itself is the result")


@exercise("Sequential.forward")
def test_modules_are_called():
    x = Tensor([1.0, 2.0])
    expect.equal("paths_of(Sequential(Scale(), Sequential(Shift(1.0), Scale())), x)", ["0", "1.0", "1.1"])
