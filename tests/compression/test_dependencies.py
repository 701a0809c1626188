"""Dependencies: which channels go together in nets of every shape, and what is fixed and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compression.nets import NAMES, image, small
from tinytorch import Tensor, nn
from tinytorch.compression.channels import HEADS, WIDTH, Channels
from tinytorch.compression.dependencies import Dependencies, dependencies
from tinytorch.compression.layout import blocks, flattened, lies_along
from tinytorch.errors import CompressionError
from tinytorch.models import GPT, MLP
from tinytorch.nn import functional as F  # noqa: N812
from tinytorch.ops.shape import concat
from tinytorch.tensor import from_numpy


def groups(found: Dependencies) -> dict[str, tuple[str, int, tuple[str, ...]]]:
    """Those that are not fixed: by name the kind, the number of channels and the layers."""
    return {g.name: (g.kind, len(g), g.layers) for g in found.groups if not g.fixed}


def places(found: Dependencies, layer: str) -> dict[tuple[str, int], list[list[int]]]:
    """By parameter and axis, the places of each channel of a layer's group."""
    group = found.group(layer)
    return {
        (use.name, use.axis): [np.flatnonzero(use.channels == c).tolist() for c in group.channels]
        for use in found.uses
        if np.isin(group.channels, use.channels).any()
    }


# ---------------------------------------------------------------- sets


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), st.integers(0, 9))
def test_joined_entries_are_those_that_a_walk_reaches(pairs: list[tuple[int, int]], fixed: int) -> None:
    channels = Channels()
    entries = channels.fresh(10)
    channels.fix(entries[fixed : fixed + 1], "here", "a reason")
    reach = np.eye(10, dtype=bool)
    for a, b in pairs:
        channels.join(entries[[a]], entries[[b]])
        reach[a, b] = reach[b, a] = True
    for _ in range(4):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    sets = channels.sets(entries)
    assert np.array_equal(sets[:, None] == sets, reach)
    assert channels.free(entries).tolist() == (~reach[fixed]).tolist()


def test_what_is_noted_of_sets_holds_for_those_they_are_joined_with() -> None:
    channels = Channels()
    a, b, c = channels.fresh(2), channels.fresh(2), channels.fresh(2, "where", "why")
    channels.mark(a, HEADS, "attn")
    channels.mark(b[:1], WIDTH)
    channels.join(b, a)
    assert [channels.marks(int(e)) for e in b] == [HEADS | WIDTH, HEADS]
    assert channels.places[int(channels.sets(b)[0])] == "attn"
    channels.join(c, b)
    assert channels.reasons[channels.reason(int(a[1]))] == ("where", "why")


# ---------------------------------------------------------------- layouts


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_flattened_is_what_numpy_makes_of_the_axes(sizes: list[int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(sizes) - 1))
    names = np.arange(sizes[axis]) + 5
    wide = np.zeros(sizes, int) + names.reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    found = flattened(names, sizes, axis)
    assert np.array_equal(found, wide.reshape(-1))
    if sizes[axis] > 1:
        assert lies_along(found.reshape(sizes)) == axis


@given(st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=5), st.data())
def test_blocks_have_equal_products_in_order(before: list[int], data: st.DataObject) -> None:
    factors = [p for size in before for p in {1: [1], 4: [2, 2], 6: [2, 3]}.get(size, [size])]
    after: list[int] = []
    for p in factors:
        if after and data.draw(st.booleans()):
            after[-1] *= p
        else:
            after.append(p)
    found = blocks(tuple(before), tuple(after))
    for ins, outs in found:
        assert np.prod([before[i] for i in ins]) == np.prod([after[i] for i in outs])
    assert [i for ins, _ in found for i in ins] == [i for i, size in enumerate(before) if size != 1]
    assert [i for _, outs in found for i in outs] == [i for i, size in enumerate(after) if size != 1]


# ---------------------------------------------------------------- nets


def test_filters_take_their_bias_norm_and_runs_of_columns_along() -> None:
    model, inputs = small("plain")
    found = dependencies(model, inputs)
    assert groups(found) == {
        "first.conv": ("channels", 6, ("first.conv",)),
        "second.conv": ("channels", 5, ("second.conv",)),
        "fc1": ("channels", 7, ("fc1",)),
    }
    one = [[i] for i in range(5)]
    norm = {(f"second.norm.{name}", 0): one for name in ("weight", "bias", "running_mean", "running_var")}
    assert places(found, "second.conv") == {
        ("second.conv.weight", 0): one,
        ("second.conv.bias", 0): one,
        **norm,
        ("fc1.weight", 1): [[4 * i + j for j in range(4)] for i in range(5)],
    }
    assert [(u.makes, u.reads) for u in found.uses if u.name == "fc1.weight"] == [
        (True, False),
        (False, True),
    ]


def test_residual_additions_couple_what_they_add() -> None:
    model, inputs = small("residual")
    found = dependencies(model, inputs)
    assert groups(found) == {
        "stem.conv": ("channels", 6, ("stem.conv", "outer1", "outer2")),
        "inner1.conv": ("channels", 4, ("inner1.conv",)),
        "inner2.conv": ("channels", 5, ("inner2.conv",)),
    }
    assert found.group("outer2").name == "stem.conv"
    assert ("inner2.conv.weight", 1) in places(found, "outer1")


def test_what_is_concatenated_keeps_its_place() -> None:
    model, inputs = small("concatenated")
    found = dependencies(model, inputs)
    assert groups(found) == {
        "left": ("channels", 4, ("left",)),
        "right.conv": ("channels", 3, ("right.conv",)),
        "join": ("channels", 5, ("join",)),
    }
    right = places(found, "right.conv")
    assert right["join.weight", 1] == [[6], [7], [8]]
    assert right["head.weight", 1] == [[16 * i + j for j in range(16)] for i in (6, 7, 8)]
    assert places(found, "join")["head.weight", 1][0] == list(range(16 * 9, 16 * 10))


def test_groups_of_a_convolution_stay_equal_and_depthwise_channels_take_their_filters_along() -> None:
    model, inputs = small("grouped")
    found = dependencies(model, inputs)
    assert groups(found) == {
        "first": ("channels", 3, ("first",)),
        "grouped.conv": ("channels", 4, ("grouped.conv", "depth")),
        "point": ("channels", 4, ("point",)),
    }
    first, grouped = places(found, "first"), places(found, "grouped.conv")
    assert first["first.weight", 0] == [[0, 3], [1, 4], [2, 5]]
    assert first["grouped.conv.weight", 1] == [[0], [1], [2]]
    assert grouped["grouped.conv.weight", 0] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert grouped["depth.weight", 0][0] == [0, 1, 8, 9]


def test_channels_are_found_through_gates_turns_and_weights_used_again() -> None:
    gated, turned = (dependencies(*small(name)) for name in ("gated", "turned"))
    assert groups(gated)["conv"] == ("channels", 6, ("conv", "up"))
    assert ("scale", 0) in places(gated, "conv")
    assert groups(turned) == {"conv": ("channels", 6, ("conv",)), "mix": ("channels", 5, ("mix",))}
    assert places(turned, "mix")["head.weight", 1][1] == [1, 6, 11, 16]
    again = places(dependencies(*small("recurrent")), "enter")
    assert again["again.weight", 0] == again["again.weight", 1] == [[i] for i in range(6)]
    assert places(dependencies(*small("raw")), "(model)") == {
        ("right", 1): [[i] for i in range(6)],
        ("left", 1): [[i] for i in range(6)],
    }


@pytest.mark.parametrize("name", ["gpt", "bert"])
def test_heads_go_as_a_whole_and_norms_make_width(name: str) -> None:
    found = dependencies(*small(name))
    hidden = 48 if name == "gpt" else 10
    expected: dict[str, Any] = {}
    for i in range(2):
        attn = f"blocks.{i}.attn"
        expected[attn] = ("heads", 3, tuple(f"{attn}.{p}_proj" for p in "qkv"))
        expected[f"blocks.{i}.mlp.fc1"] = ("channels", hidden, (f"blocks.{i}.mlp.fc1",))
    kinds = groups(found)
    width = kinds.pop("wte", None)
    assert kinds == expected
    assert (width is not None) == (name == "gpt")
    assert places(found, "blocks.1.attn")["blocks.1.attn.out_proj.weight", 1] == [
        [4 * i + j for j in range(4)] for i in range(3)
    ]
    if width is not None:
        assert width[:2] == ("width", 12)
        assert {"wpe.weight", "norm.weight", "blocks.0.norm2.bias", "blocks.1.mlp.fc2.bias"} <= {
            key for key, _ in places(found, "wte")
        }
    else:
        with pytest.raises(CompressionError, match="embeddings.words: .* the model returns it"):
            found.group("embeddings.words")


def test_tied_weights_mean_what_the_layer_that_uses_them_means() -> None:
    found = dependencies(GPT(11, context=8, width=12, layers=1, heads=3))
    assert found.group("wte").kind == "width"
    with pytest.raises(CompressionError, match="head: its channels cannot be removed: rows are picked"):
        found.group("head")


def test_a_single_head_leaves_values_that_can_be_narrower() -> None:
    attention = nn.MultiHeadAttention(6, 1).eval()
    found = dependencies(attention, from_numpy(np.ones((2, 3, 6), np.float32)))
    assert groups(found) == {"v_proj": ("channels", 6, ("v_proj",))}
    with pytest.raises(CompressionError, match="q_proj: .* product of two activations"):
        found.group("q_proj")


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_of_a_channel_is_one_and_nothing_changes(name: str) -> None:
    model, inputs = small(name)
    before = {n: t.data.copy() for n, t in model.state_dict().items()}
    model.train()
    found = dependencies(model, inputs)
    assert model.training
    model.eval()
    for n, t in model.state_dict().items():
        assert np.array_equal(t.data, before[n])
    numbers = np.concatenate([g.channels for g in found.groups])
    assert len(np.unique(numbers)) == len(numbers)
    for use in found.uses:
        assert use.channels.shape == (before[use.name].shape[use.axis],)
        assert use.channels.max() < found.count
    again = dependencies(model, [x[:1] for x in inputs])  # with a batch of one
    assert [(g.name, g.kind, len(g), g.fixed) for g in again.groups] == [
        (g.name, g.kind, len(g), g.fixed) for g in found.groups
    ]
    assert all(np.array_equal(a.channels, b.channels) for a, b in zip(found.uses, again.uses, strict=True))


# ---------------------------------------------------------------- what cannot be followed


class Between(nn.Module):
    """A function of what one linear layer makes, before another one reads it."""

    def __init__(self, function: Any, made: int = 6, read: int = 6) -> None:
        super().__init__()
        self.first, self.second, self.function = nn.Linear(4, made), nn.Linear(read, 2), function

    def forward(self, x: Tensor) -> Any:
        return self.second(self.function(self.first(x)))


@pytest.mark.parametrize(
    ("function", "read", "reason"),
    [
        (lambda x: x[:, :3], 3, "picked by number"),
        (lambda x: x[:, ::-1], 6, "picked by number"),
        (lambda x: x[:, 0].reshape(-1, 1), 1, "picked by number"),
        (lambda x: F.softmax(x), 6, "softmax is taken over it"),
        (lambda x: x.max(1, keepdims=True).expand(*x.shape), 6, "max is taken over it"),
        (lambda x: F.pad(x, ((0, 0), (0, 2))), 8, "padded"),
        (lambda x: x * from_numpy(np.arange(6, dtype=np.float32)), 6, "made in forward"),
        (lambda x: x @ x.mT, 2, "product of two activations"),
        (lambda x: x.reshape(3, 4), 4, "mixes it"),
        (lambda x: F.cross_entropy(x, Tensor([0, 1])).reshape(1, 1), 1, "crossentropy .* not known"),
        (lambda x: concat([x, x[:, 1:2]], 1), 7, "picked by number"),
        (lambda x: x.mT[[1, 0, 2, 3, 4, 5]].mT, 6, "picked by number"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(function: Any, read: int, reason: str) -> None:
    found = dependencies(Between(function, read=read), image(2, 4).to("float32"))
    with pytest.raises(CompressionError, match=f"first: its channels cannot be removed: .*{reason}"):
        found.group("first")


def test_what_the_model_is_given_and_returns_is_fixed() -> None:
    class Both(Between):
        def forward(self, x: Tensor) -> Any:
            h = self.first(x)
            return self.second(h), h

    class Residue(Between):
        def forward(self, x: Tensor) -> Any:
            return self.second(x + self.first(x))

    found = dependencies(Both(None), image(2, 4).to("float32"))
    with pytest.raises(CompressionError, match="first: .* the model returns it"):
        found.group("first")
    found = dependencies(Residue(None, 4, 4), image(2, 4).to("float32"))
    with pytest.raises(CompressionError, match="first: .* an input of the model"):
        found.group("first")
    with pytest.raises(CompressionError, match="third: no layer .* there are: none"):
        found.group("third")


def test_a_tensor_from_elsewhere_is_named_as_such() -> None:
    held = image(6).to("float32")
    found = dependencies(Between(lambda x: x + held), image(2, 4).to("float32"))
    with pytest.raises(CompressionError, match="first: .* no parameter or buffer of the model"):
        found.group("first")


def test_models_without_inputs_and_those_that_cannot_be_traced() -> None:
    with pytest.raises(CompressionError, match="Sequential has no example_input"):
        dependencies(nn.Sequential(nn.Linear(2, 2)))
    assert [g.name for g in dependencies(MLP((4, 3, 2))).groups] == ["layers.0", "layers.2"]
    found = dependencies(nn.Linear(2, 3), Tensor([[1.0, 2.0]]))
    assert [(g.name, g.fixed) for g in found.groups] == [("(model)", "the model returns it")]
