"""Module: registration, naming, state, modes and the path that ops are filed under."""

import copy
import re

import numpy as np
import pytest

from tinytorch import Tensor, nn
from tinytorch.errors import CheckpointError, DTypeError, GradientError, ShapeError
from tinytorch.models import GPT, MLP
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.context import OpEvent, observe, state
from tinytorch.random import manual_seed


class Tied(Module):
    """y = (x @ w^T) @ w, with the one weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2, bias=False)
        self.second = nn.Linear(3, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("seen", Tensor(np.array(3, np.int64)))

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) @ self.second.weight


class Paths:
    """Observer that notes the path of each op."""

    def __init__(self) -> None:
        self.forward: list[tuple[str, str]] = []
        self.backward: list[tuple[str, str]] = []

    def on_op(self, event: OpEvent) -> None:
        (self.backward if event.backward else self.forward).append((event.path, event.op.name))

    def on_exit(self, tensor: Tensor, how: str) -> None: ...


def snapshot(module: Module) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in module.state_dict().items()}


def small_gpt() -> GPT:
    return GPT(vocab_size=11, context=8, width=8, layers=2, heads=2)


# ---------------------------------------------------------------- registration


def test_assignment_decides_what_is_a_parameter() -> None:
    module = Module()
    module.weight = Parameter([1.0])
    module.constant = Tensor([1.0])
    module.computed = module.weight * 2
    module.register_buffer("mean", Tensor([0.0]))
    assert dict(module.named_parameters()).keys() == {"weight"}
    assert dict(module.named_buffers()).keys() == {"mean"}
    module.weight = None
    assert not list(module.parameters())


def test_a_frozen_parameter_and_a_replaced_buffer_keep_their_role() -> None:
    module = Module()
    module.weight = Parameter([1.0])
    module.weight.requires_grad_(False)
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    module.register_buffer("mean", Tensor([0.0]))
    module.mean = Tensor([5.0])
    assert module.state_dict()["mean"].item() == 5
    del module.mean
    assert set(module.state_dict()) == {"weight"}


def test_parameter_copies_its_data() -> None:
    base = Tensor(np.arange(6.0))
    parameter = Parameter(base.reshape(2, 3))
    parameter.assign_(0.0)
    assert base.data.sum() == 15
    with pytest.raises(DTypeError):
        Parameter(Tensor([1, 2]))


def test_a_view_cannot_be_registered() -> None:
    module = Module()
    view = Tensor(np.arange(6.0)).reshape(2, 3)
    with pytest.raises(GradientError, match="memory of its own"):
        module.weight = view.requires_grad_()
    with pytest.raises(GradientError, match="memory of its own"):
        module.register_buffer("mean", view)


def test_forgetting_super_init_is_explained() -> None:
    class Forgetful(Module):
        def __init__(self) -> None:
            self.weight = Parameter([1.0])

    with pytest.raises(AttributeError, match=r"super\(\)\.__init__\(\)"):
        Forgetful()


def test_names_and_order_of_a_tree() -> None:
    model = small_gpt()
    names = [name for name, _ in model.named_parameters()]
    assert names[:3] == ["wte.weight", "wpe.weight", "blocks.0.norm1.weight"]
    assert "blocks.1.mlp.fc2.bias" in names
    modules = dict(model.named_modules())
    assert modules[""] is model
    assert modules["blocks.1.attn"] is model.blocks[1].attn
    assert [type(m).__name__ for m in model.children()] == [
        "Embedding",
        "Embedding",
        "Dropout",
        "ModuleList",
        "LayerNorm",
        "Linear",
    ]


def test_a_module_used_twice_counts_once() -> None:
    block = nn.Linear(2, 2)
    model = nn.Sequential(block, nn.ReLU(), block)
    assert model.num_parameters() == 6
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert set(model.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert len(list(model.modules())) == 3


# ---------------------------------------------------------------- shared parameters


def test_tied_parameters_appear_once_and_get_summed_gradients() -> None:
    manual_seed(1)
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == ["first.weight"]
    x = np.array([[1.0, 2.0, -1.0]], np.float32)
    model(Tensor(x)).sum().backward()
    w = model.first.weight.numpy().astype(np.float64)
    ones = np.ones((1, 3))
    expected = (ones @ w.T).T @ x + (x @ w.T).T @ ones
    assert np.allclose(model.first.weight.grad.data, expected, rtol=1e-5)
    assert model.second.weight.grad is model.first.weight.grad


def test_deepcopy_keeps_ties_and_shares_nothing() -> None:
    model = Tied()
    twin = copy.deepcopy(model)
    assert twin.first.weight is twin.second.weight
    assert twin.first.weight is not model.first.weight
    twin.first.weight.assign_(0.0)
    assert model.first.weight.data.any()


def test_to_casts_everything_and_keeps_ties() -> None:
    model = Tied()
    model.example_input = Tensor([[1.0, 2.0, 3.0]])
    before = model(model.example_input)
    assert model.to("float64") is model
    assert model.first.weight is model.second.weight
    assert model.first.weight.requires_grad
    assert {str(t.dtype) for t in model.parameters()} == {"float64"}
    assert model.seen.dtype == np.int64
    after = model(model.example_input)
    assert after.dtype == np.float64
    assert np.allclose(before.data, after.data, rtol=1e-6)
    with pytest.raises(DTypeError, match="floating"):
        model.to("int64")


# ---------------------------------------------------------------- state


def test_state_dict_round_trip() -> None:
    manual_seed(1)
    source, target = small_gpt(), small_gpt()
    ids = source.example_input
    assert not np.array_equal(source(ids).data, target(ids).data)
    target.load_state_dict({name: t.numpy() for name, t in source.state_dict().items()})
    assert np.array_equal(source(ids).data, target(ids).data)
    assert target.head.weight is target.wte.weight


def test_state_dict_follows_the_module_and_cannot_be_written() -> None:
    model = Tied()
    held = model.state_dict()
    model.first.weight.assign_(2.0)
    assert (held["first.weight"].data == 2).all()
    assert not held["first.weight"].requires_grad
    with pytest.raises(GradientError):
        held["first.weight"].assign_(0.0)


def test_loading_casts_floats_and_takes_tensors() -> None:
    model = Tied()
    model.load_state_dict(
        {
            **snapshot(model),
            "first.weight": Tensor(np.full((2, 3), 0.5)),
            "second.weight": np.full((2, 3), 0.5, np.float16),
        }
    )
    assert model.first.weight.dtype == np.float32
    assert (model.first.weight.data == 0.5).all()


def test_one_name_of_a_tied_tensor_is_enough() -> None:
    model = Tied()
    model.load_state_dict({"second.weight": np.ones((2, 3)), "seen": np.array(7)})
    assert (model.first.weight.data == 1).all()
    assert model.seen.item() == 7


BAD_STATES = [
    (lambda s: s.pop("layers.0.bias"), r"missing layers\.0\.bias"),
    (lambda s: s.update(extra=np.ones(2)), r"unexpected extra"),
    (
        lambda s: s.update({"layers.2.weight": np.ones((3, 5))}),
        r"layers\.2\.weight: shape \(3, 5\), expected \(3, 4\)",
    ),
    (
        lambda s: s.update({"layers.2.bias": np.ones(3, np.int64)}),
        r"layers\.2\.bias: dtype int64, expected float32",
    ),
    (lambda s: s.update({"layers.2.bias": np.ones(3, np.complex64)}), r"layers\.2\.bias: .*complex64"),
    (
        lambda s: s.update({"layers.2.bias": [1.0, 2.0, 3.0]}),
        r"layers\.2\.bias: expected a Tensor or array, not list",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_STATES)
def test_a_state_that_does_not_fit_changes_nothing(spoil, message: str) -> None:
    model = MLP((5, 4, 3))
    before = snapshot(model)
    bad = {name: array + 1 for name, array in before.items()}
    spoil(bad)
    with pytest.raises(CheckpointError, match=message):
        model.load_state_dict(bad)
    for name, array in snapshot(model).items():
        assert np.array_equal(array, before[name])


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(CheckpointError) as caught:
        MLP((5, 4, 3)).load_state_dict({"layers.0.weight": np.ones((1, 1)), "foreign": np.ones(1)})
    text = str(caught.value)
    assert len(re.findall("missing", text)) == 3
    assert "unexpected foreign" in text
    assert "shape (1, 1)" in text
    assert "5 in all" in text


def test_tied_names_that_disagree_are_refused() -> None:
    model = Tied()
    with pytest.raises(CheckpointError, match="tied"):
        model.load_state_dict({**snapshot(model), "second.weight": np.zeros((2, 3))})


def test_loading_without_strict_passes_over_names_but_not_shapes() -> None:
    model = MLP((5, 4, 3))
    model.load_state_dict({"layers.2.bias": np.ones(3), "foreign": np.ones(1)}, strict=False)
    assert (model.layers[2].bias.data == 1).all()
    with pytest.raises(CheckpointError, match="shape"):
        model.load_state_dict({"layers.2.bias": np.ones(4)}, strict=False)


# ---------------------------------------------------------------- modes and text


def test_train_and_eval_reach_every_module() -> None:
    model = small_gpt()
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())


def test_zero_grad() -> None:
    model = MLP((3, 2))
    model(model.example_input).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_repr_is_a_tree_with_shapes_and_counts() -> None:
    assert repr(MLP((5, 4, 3))).splitlines() == [
        "MLP(sizes=(5, 4, 3)), 39 parameters",
        "  flatten: Flatten()",
        "  layers: Sequential(), 39 parameters",
        "    0: Linear(5, 4), weight (4, 5), bias (4,), 24 parameters",
        "    1: ReLU()",
        "    2: Linear(4, 3), weight (3, 4), bias (3,), 15 parameters",
    ]


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        nn.ModuleList()(1)


# ---------------------------------------------------------------- containers and paths


def test_containers_hold_modules_in_order() -> None:
    layers = nn.ModuleList([nn.ReLU()])
    layers.append(nn.Tanh())
    assert [type(m) for m in layers] == [nn.ReLU, nn.Tanh]
    assert type(layers[-1]) is nn.Tanh
    with pytest.raises(ShapeError, match="out of range"):
        layers[2]
    with pytest.raises(DTypeError, match="holds modules"):
        layers.append(Tensor.relu)  # type: ignore[arg-type]


def test_paths_of_ops_forward_and_backward() -> None:
    model = small_gpt()
    watcher = Paths()
    with observe(watcher):
        model(model.example_input).sum().backward()
    for events in (watcher.forward, watcher.backward):
        paths = {path for path, _ in events}
        assert {"", "blocks.0.attn", "blocks.0.attn.q_proj", "blocks.1.mlp.fc2", "norm", "head"} <= paths
        assert all(path in dict(model.named_modules()) for path in paths)
    assert ("blocks.0.attn.q_proj", "linear") in watcher.forward
    assert ("wte", "lookup") in watcher.forward
    assert ("blocks.1.attn", "attentiongrad") in watcher.backward


def test_the_path_is_put_back_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(ShapeError):
        model(Tensor([[1.0, 2.0]]))
    assert state().path == ""


def test_nested_lists_pass_their_names_on() -> None:
    inner = nn.ModuleList([nn.Identity(), nn.ReLU()])
    model = Module()
    model.stages = nn.ModuleList([inner])
    inner.append(nn.Tanh())
    watcher = Paths()
    with observe(watcher):
        for layer in inner:
            layer(Tensor([1.0]))
    assert watcher.forward == [("stages.0.1", "relu"), ("stages.0.2", "tanh")]
