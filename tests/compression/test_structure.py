"""Structured pruning: a smaller model gives what the whole one gives when nothing reads what was removed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tests.compression.nets import NAMES, ConvNormRelu, ids, image, ready, run, small, unread, zeroed
from tinytorch import Tensor, nn, optim
from tinytorch.compression.blocks import drop_blocks
from tinytorch.compression.dependencies import Dependencies, Use, dependencies
from tinytorch.compression.importance import channel_sums, importance
from tinytorch.compression.removal import cut, keep_largest, remove, remove_channels, resized
from tinytorch.compression.structure import shrink
from tinytorch.errors import CheckpointError, CompressionError
from tinytorch.models import CNN, GPT, MLP, load_weights, save_weights
from tinytorch.nn import functional as F  # noqa: N812
from tinytorch.nn.attention import grouped_attention
from tinytorch.ops.shape import concat
from tinytorch.tensor import from_numpy
from tinytorch.training.language import next_token_loss

Array = np.ndarray[Any, Any]


def close(a: Array, b: Array) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


def some(
    found: Dependencies, seed: int, kinds: Sequence[str] = ("channels", "heads")
) -> dict[str, list[int]]:
    """Channels to remove, at random: of each open group one or more, but never all."""
    rng = np.random.default_rng(seed)
    return {
        g.name: rng.permutation(len(g))[: rng.integers(1, len(g))].tolist()
        for g in found.groups
        if not g.fixed and g.kind in kinds and len(g) > 1
    }


def marked(found: Dependencies, removed: dict[str, list[int]]) -> Array:
    goes = np.zeros(found.count, bool)
    for name, places in removed.items():
        goes[found.group(name).channels[places]] = True
    return goes


def require_like_the_whole(
    model: nn.Module, inputs: Sequence[Tensor], removed: dict[str, list[int]]
) -> nn.Module:
    """Remove channels, and compare with the whole model that does not read them, also on other batches."""
    found = dependencies(model, inputs)
    less = remove(model, inputs, removed)
    twin = unread(model, found, marked(found, removed))
    close(run(less, *inputs), run(twin, *inputs))
    one = [x[:1] for x in inputs]
    close(run(less, *one), run(twin, *one))
    assert less.num_parameters() < model.num_parameters()
    return less


# ---------------------------------------------------------------- what learners write


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), max_size=8), st.data())
def test_the_largest_are_kept_in_order_and_of_equal_ones_the_first(
    scores: list[float], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(scores)))
    expected = sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])
    found = keep_largest(np.array(scores), count)
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_cut_takes_places_along_an_axis_and_shares_no_memory() -> None:
    array = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    kept = np.array([0, 3])
    found = cut(array, 2, kept)
    assert found.tolist() == [[[row[0], row[3]] for row in rows] for rows in array.tolist()]
    assert (found.dtype, found.flags.c_contiguous) == (np.int8, True)
    assert not np.shares_memory(cut(array, 1, np.arange(3)), array)


def test_filters_go_with_all_that_belongs_to_them() -> None:
    rng = np.random.default_rng(0)
    names = {
        "conv.weight": (3, 2, 1, 1),
        "conv.bias": (3,),
        "norm.mean": (3,),
        "fc.weight": (4, 6),
        "other": (3,),
    }
    arrays = {name: rng.standard_normal(shape) for name, shape in names.items()}
    before = copy.deepcopy(arrays)
    filters, rows = np.array([4, 5, 6]), np.array([0, 1, 2, 3])
    uses = [Use(name, 0, filters) for name in ("conv.weight", "conv.bias", "norm.mean")]
    uses += [Use("fc.weight", 1, np.array([4, 4, 5, 5, -1, 6])), Use("fc.weight", 0, rows)]
    removed = np.isin(np.arange(8), [1, 4, 7])
    found = remove_channels(arrays, uses, removed)
    assert np.array_equal(found["conv.weight"], before["conv.weight"][[1, 2]])
    assert np.array_equal(found["conv.bias"], before["conv.bias"][[1, 2]])
    assert np.array_equal(found["norm.mean"], before["norm.mean"][[1, 2]])
    assert np.array_equal(found["fc.weight"], before["fc.weight"][[0, 2, 3]][:, [2, 3, 4, 5]])
    assert np.array_equal(found["other"], before["other"])
    for name, array in arrays.items():
        assert np.array_equal(array, before[name])


def test_sums_of_channels() -> None:
    array = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)
    channels = np.array([2, 0, -1, 2])
    found = channel_sums(array, 1, channels, 4)
    wide = array.astype(np.float64)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [wide[:, 1].sum(), 0, wide[:, 0].sum() + wide[:, 3].sum(), 0])


# ---------------------------------------------------------------- equality


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_a_smaller_model_gives_what_the_whole_gives_unread(name: str, seed: int) -> None:
    model, inputs = small(name)
    before = {n: t.data.copy() for n, t in model.state_dict().items()}
    require_like_the_whole(model, inputs, some(dependencies(model, inputs), seed))
    for n, t in model.state_dict().items():
        assert np.array_equal(t.data, before[n])


def test_an_mlp_by_hand() -> None:
    model, (x,) = small("mlp")
    less = remove(model, (x,), {"layers.0": [0, 5], "layers.2": [3]})
    w0, w1, w2 = (model.layers[i].weight.data for i in (0, 2, 4))
    b0, b1, b2 = (model.layers[i].bias.data for i in (0, 2, 4))
    first = np.maximum(x.data @ w0.T + b0, 0)
    first[:, [0, 5]] = 0
    second = np.maximum(first @ w1.T + b1, 0)
    second[:, 3] = 0
    close(run(less, x), second @ w2.T + b2)
    assert less.sizes == (4, 6, 5, 3)


def test_a_cnn_by_hand() -> None:
    model, (x,) = small("cnn")
    less = remove(model, (x,), {"conv1": [0, 4], "conv2": [2], "fc1": [6]})
    zeroed(model, "conv2.weight", 1, [0, 4])
    zeroed(model, "fc1.weight", 1, range(2 * 2 * 2, 3 * 2 * 2))
    zeroed(model, "fc2.weight", 1, [6])
    close(run(less, x), run(model, x))
    assert (less.channels, less.hidden, less.fc1.in_features) == ((4, 4), 6, 16)
    assert less.example_input is not None


@pytest.mark.parametrize("name", ["gpt", "bert"])
def test_heads_by_hand(name: str) -> None:
    model, inputs = small(name)
    less = remove(model, inputs, {"blocks.0.attn": [1], "blocks.1.attn": [0, 2], "blocks.1.mlp.fc1": [0, 7]})
    zeroed(model, "blocks.0.attn.out_proj.weight", 1, range(4, 8))
    zeroed(model, "blocks.1.attn.out_proj.weight", 1, [*range(4), *range(8, 12)])
    zeroed(model, "blocks.1.mlp.fc2.weight", 1, [0, 7])
    close(run(less, *inputs), run(model, *inputs))
    attn = less.blocks[1].attn
    assert (attn.num_heads, attn.q_proj.out_features, attn.out_proj.in_features) == (1, 4, 4)
    assert less.blocks[0].attn.num_heads == 2


def test_a_cache_of_keys_and_values_takes_heads_that_are_left() -> None:
    class Cache:
        def __init__(self) -> None:
            self.kept: dict[int, tuple[Tensor, Tensor]] = {}

        @property
        def length(self) -> int:
            return self.kept[0][0].shape[2] if self.kept else 0

        def positions(self, t: int) -> Tensor:
            return from_numpy(np.arange(self.length, self.length + t)[None])

        def attend(
            self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = True
        ) -> Tensor:
            if layer in self.kept:
                k, v = (concat([a, b], 2) for a, b in zip(self.kept[layer], (k, v), strict=True))
            self.kept[layer] = k, v
            return grouped_attention(q, k, v, mask, causal)

    model, (tokens,) = small("gpt")
    less, cache = remove(model, (tokens,), {"blocks.0.attn": [1], "wte": [3]}), Cache()
    with tt.no_grad():
        parts = [less(tokens[:, i : i + 1], cache).data for i in range(tokens.shape[1])]
    close(np.concatenate(parts, 1), run(less, tokens))


def test_width_goes_through_norms_as_they_say() -> None:
    model, (tokens,) = small("gpt")
    less = remove(model, (tokens,), {"wte": [0, 7]})
    kept = [i for i in range(12) if i not in (0, 7)]
    assert less.wte.weight is less.head.weight
    assert np.array_equal(less.wte.weight.data, model.wte.weight.data[:, kept])
    norm = less.blocks[1].norm2
    assert (norm.normalized_shape, less.width, less.blocks[0].attn.embed_dim) == ((10,), 10, 10)
    x = image(2, 10)
    wide = x.data - x.data.mean(1, keepdims=True)
    wide /= np.sqrt(np.square(wide).mean(1, keepdims=True) + norm.eps)
    full = model.blocks[1].norm2
    close(run(norm, x), wide * full.weight.data[kept] + full.bias.data[kept])


# ---------------------------------------------------------------- nets at random


class Drawn(nn.Module):
    """Steps drawn at random: each makes channels of the last ones, of two of them, or adds to them."""

    def __init__(self, steps: Sequence[tuple[str, int]], flat: bool) -> None:
        super().__init__()
        self.kinds, self.flat = [kind for kind, _ in steps], flat
        self.parts = nn.ModuleList()
        width = earlier = 2
        for kind, made in steps:
            before = width
            if kind == "conv":
                self.parts.append(nn.Conv2d(width, made, 3, padding=1))
                width = made
            elif kind == "norm":
                self.parts.append(ConvNormRelu(width, made))
                width = made
            elif kind == "grouped":
                self.parts.append(ConvNormRelu(width, made * width, groups=width))
                width *= made
            elif kind == "residual":
                self.parts.append(nn.Sequential(ConvNormRelu(width, made), nn.Conv2d(made, width, 1)))
            else:
                self.parts.append(nn.Conv2d(width + earlier, made, 1))
                width = made
            earlier = before
        self.head = nn.Linear(width * 9 if flat else width, 2)

    def forward(self, x: Tensor) -> Tensor:
        earlier = x
        for kind, part in zip(self.kinds, self.parts, strict=True):
            before = x
            if kind == "residual":
                x = x + part(x)
            elif kind == "concat":
                x = part(concat([earlier, x], 1)).relu()
            else:
                x = part(x).tanh()
            earlier = before
        return self.head(x.flatten(1) if self.flat else x.mean((2, 3)))


STEPS = st.tuples(st.sampled_from(["conv", "norm", "grouped", "residual", "concat"]), st.integers(1, 3))


@settings(max_examples=30)
@given(st.lists(STEPS, min_size=1, max_size=4), st.booleans(), st.integers(0, 99))
def test_nets_at_random(steps: list[tuple[str, int]], flat: bool, seed: int) -> None:
    model, inputs = ready(Drawn(steps, flat), seed), (image(2, 2, 3, 3, seed=seed),)
    removed = some(dependencies(model, inputs), seed)
    if removed:
        require_like_the_whole(model, inputs, removed)


# ---------------------------------------------------------------- scores


def by_hand(model: MLP, x: Tensor) -> dict[str, Array]:
    w = model.layers[0].weight.data
    return {"magnitude": np.abs(w).sum(1), "l2": np.sqrt(np.square(w).sum(1))}


@pytest.mark.parametrize("score", ["magnitude", "l2"])
def test_the_lowest_by_size_go(score: str) -> None:
    model, (x,) = small("mlp")
    expected = by_hand(model, x)[score]
    found = dependencies(model, (x,))
    group = found.group("layers.0")
    np.testing.assert_allclose(importance(model, found, [group], score)[group.channels], expected)
    report = shrink(model, (x,), {"layers.0": 0.25}, score=score).report
    row = next(row for row in report.groups if row.name == "layers.0")
    assert sorted(set(range(8)) - set(row.kept)) == sorted(np.argsort(expected)[:2].tolist())


def test_size_counts_all_that_makes_a_channel_and_no_bias() -> None:
    model, inputs = small("residual")
    found = dependencies(model, inputs)
    group = found.group("stem.conv")
    weights = (model.stem.conv.weight, model.outer1.weight, model.outer2.weight)
    expected = sum(np.abs(w.data).reshape(6, -1).sum(1) for w in weights)
    np.testing.assert_allclose(importance(model, found, [group])[group.channels], expected)
    gpt, tokens = small("gpt")
    found = dependencies(gpt, tokens)
    group = found.group("blocks.0.attn")
    attn = gpt.blocks[0].attn
    rows = sum(np.abs(p.weight.data).reshape(3, -1).sum(1) for p in (attn.q_proj, attn.k_proj, attn.v_proj))
    np.testing.assert_allclose(importance(gpt, found, [group])[group.channels], rows)


def test_batch_norm_scores_are_its_weights_and_need_one() -> None:
    model, inputs = small("residual")
    found = dependencies(model, inputs)
    group = found.group("inner1.conv")
    expected = np.abs(model.inner1.norm.weight.data)
    np.testing.assert_allclose(importance(model, found, [group], "batchnorm")[group.channels], expected)
    with pytest.raises(CompressionError, match="fc1 goes through no batch norm"):
        shrink(*small("plain"), 0.5, score="batchnorm")


@pytest.mark.parametrize("name", ["plain", "residual", "grouped", "gpt"])
def test_taylor_is_the_change_of_the_loss_to_first_order(name: str) -> None:
    model, inputs = small(name)
    loss: Any = next_token_loss if name == "gpt" else F.cross_entropy
    targets = [ids(2, 5, below=11, seed=3), ids(2, 5, below=11, seed=4)]
    if name != "gpt":
        targets = [from_numpy(np.array([0, 2])), from_numpy(np.array([1, 1]))]
    batches = [(inputs[0], target) for target in targets]
    model.parameters().__next__().requires_grad_(False)
    found = dependencies(model, inputs)
    open_ = [g for g in found.groups if not g.fixed and g.kind != "width"]
    scores = importance(model, found, open_, "taylor", batches, loss)
    step = 1e-5
    for group in open_:
        for channel in group.channels[:2]:
            changes = []
            for x, target in batches:
                values = []
                for share in (1 - step, 1 + step):
                    twin = copy.deepcopy(model)
                    tensors = dict(twin.named_parameters())
                    for use in found.uses:
                        if use.reads:
                            scale = np.where(use.channels == channel, share, 1.0)
                            shape = [-1 if i == use.axis else 1 for i in range(tensors[use.name].ndim)]
                            tensors[use.name].assign_(tensors[use.name].data * scale.reshape(shape))
                    with tt.no_grad():
                        values.append(loss(twin(x), target).item())
                changes.append(abs(values[1] - values[0]) / (2 * step))
            assert scores[channel] == pytest.approx(np.mean(changes), rel=1e-4, abs=1e-8)
    assert all(p.grad is None for p in model.parameters())


def test_taylor_says_what_is_missing() -> None:
    model, (x,) = small("mlp")
    with pytest.raises(CompressionError, match=r"give batches= .* and loss="):
        shrink(model, (x,), 0.5, score="taylor")
    with pytest.raises(CompressionError, match="no batches with samples"):
        shrink(model, (x,), 0.5, score="taylor", batches=[], loss=F.cross_entropy)
    with pytest.raises(CompressionError, match="a target"):
        shrink(model, (x,), 0.5, score="taylor", batches=[x], loss=F.cross_entropy)
    broken = [(from_numpy(np.full((2, 4), np.nan)), Tensor([0, 1]))]
    with pytest.raises(CompressionError, match="the loss is nan on batch 0"):
        shrink(model, (x,), 0.5, score="taylor", batches=broken, loss=F.cross_entropy)
    with pytest.raises(CompressionError, match="no score 'size'"):
        shrink(model, (x,), 0.5, score="size")


# ---------------------------------------------------------------- shrink


def test_a_share_of_each_group_goes_and_the_report_adds_up() -> None:
    model = CNN(2, 3, 8, channels=(6, 5), hidden=8).eval()
    found = shrink(model, None, 0.5)
    less = found.model
    assert (less.channels, less.hidden) == ((3, 3), 4)
    rows = {row.name: row for row in found.report.groups}
    assert [(name, row.before, row.after) for name, row in rows.items()] == [
        ("conv1", 6, 3),
        ("conv2", 5, 3),
        ("fc1", 8, 4),
        ("fc2", 3, 3),
    ]
    assert rows["fc2"].fixed == "the model returns it"
    assert sum(row.cost_before.parameters for row in rows.values()) == model.num_parameters()
    assert sum(row.cost_after.parameters for row in rows.values()) == less.num_parameters()
    assert rows["conv1"].cost_after.flops == 2 * 8 * 8 * 3 * 2 * 9
    for cost, whole in (("cost_before", found.report.before), ("cost_after", found.report.after)):
        assert sum(getattr(row, cost).flops for row in rows.values()) == whole.flops
    text = repr(found)
    assert "fixed: the model returns it" in text
    assert f"{model.num_parameters() / less.num_parameters():.2f}x fewer parameters" in text


def test_rounding_and_least() -> None:
    model = MLP((4, 10, 6, 3))
    assert shrink(model, None, 0.5, round_to=4).model.sizes == (4, 8, 4, 3)
    assert shrink(model, None, 0.9, least=3).model.sizes == (4, 3, 3, 3)
    assert shrink(model, None, 0.99).model.sizes == (4, 1, 1, 3)
    assert shrink(model, None, 0.1, round_to=7).model.sizes == (4, 10, 6, 3)
    assert shrink(model, None, {"layers.2": 0.5}).model.sizes == (4, 10, 3, 3)


def test_groups_compete_globally_by_scores_over_their_size() -> None:
    model = MLP((4, 8, 8, 3)).to("float64")
    rng = np.random.default_rng(0)
    w0, w1 = np.full((8, 4), 1000.0), np.ones((8, 8))
    w0[:6] *= 0.1
    model.layers[0].weight.assign_(w0 + rng.random((8, 4)))
    model.layers[2].weight.assign_(w1 + rng.random((8, 8)) * 0.1)
    x = image(2, 4)
    found = shrink(model, x, 6 / 16, scope="global")
    assert found.model.sizes == (4, 2, 8, 3)
    assert found.report.groups[0].kept == (6, 7)


def test_heads_and_width_go_only_where_they_are_named() -> None:
    model, inputs = small("gpt")
    found = shrink(model, inputs, 0.3).model
    assert [b.attn.num_heads for b in found.blocks] == [3, 3]
    found = shrink(model, inputs, 0.3, what=("heads",)).model
    assert ([b.attn.num_heads for b in found.blocks], found.blocks[0].mlp.fc1.out_features) == ([2, 2], 48)
    assert (found.heads, found.width) == (2, 12)
    assert shrink(model, inputs, 0.25, what=("width",)).model.width == 9
    assert shrink(model, inputs, {"blocks.1.attn.k_proj": 0.6}).model.blocks[1].attn.num_heads == 1


@pytest.mark.parametrize("amount", [0, 1, -0.5, 1.5, float("nan")])
def test_shares_outside_are_refused(amount: float) -> None:
    model = MLP((4, 8, 3))
    with pytest.raises(CompressionError, match="not above 0 and below 1"):
        shrink(model, None, amount)
    with pytest.raises(CompressionError, match=r"layers\.0: amount .* not above 0 and below 1"):
        shrink(model, None, {"layers.0": amount})


def test_bad_arguments_are_named() -> None:
    model, inputs = small("gpt")
    for arguments, message in [
        ({"scope": "all"}, "scope='all'"),
        ({"what": ("neurons",)}, "neurons"),
        ({"what": ()}, "what="),
        ({"round_to": 0}, "round_to=0"),
        ({"least": 0}, "least=0"),
    ]:
        with pytest.raises(CompressionError, match=message):
            shrink(model, inputs, 0.5, **arguments)  # type: ignore[arg-type]
    for amounts, message in [
        ({"blocks.7.attn": 0.5}, r"blocks\.7\.attn: no layer"),
        ({"head": 0.5}, "head: its channels cannot be removed"),
        ({"blocks.0.attn": 0.5, "blocks.0.attn.q_proj": 0.6}, "two shares"),
        ({}, "name no layer"),
    ]:
        with pytest.raises(CompressionError, match=message):
            shrink(model, inputs, amounts)
    with pytest.raises(CompressionError, match="leave nothing to choose globally"):
        shrink(model, inputs, {"blocks.0.attn": 0.5}, scope="global")
    with pytest.raises(
        CompressionError, match=r"no channels that can be removed\. layers\.0: the model returns"
    ):
        shrink(MLP((4, 3)), None, 0.5)


def test_removals_that_leave_nothing_or_are_not_there() -> None:
    model = MLP((4, 3, 2))
    with pytest.raises(CompressionError, match=r"layers\.0: all of its 3 channels would be removed"):
        remove(model, None, {"layers.0": [0, 1, 2]})
    with pytest.raises(CompressionError, match=r"layers\.0: has channels 0 to 2, not 3"):
        remove(model, None, {"layers.0": [0, 3]})
    with pytest.raises(CompressionError, match="not -1"):
        remove(model, None, {"layers.0": [-1]})
    with pytest.raises(CompressionError, match=r"layers\.2: .* the model returns it"):
        remove(model, None, {"layers.2": [0]})
    assert model.sizes == (4, 3, 2)


class OwnSizes(nn.Module):
    """A layer that keeps its number of heads under a name that nobody knows."""

    def __init__(self, fixed: str) -> None:
        super().__init__()
        self.first, self.second, self.parts, self.fixed = nn.Linear(4, 8), nn.Linear(8, 2), 4, fixed

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.fixed == "parts":
            x = x.reshape(x.shape[0], self.parts, x.shape[1] // self.parts) * 2.0
        elif self.fixed == "batch":
            x = x.reshape(-1, 8)
        elif self.fixed == "scale":
            x = x * (1 / x.shape[1])
        return self.second(x.reshape(x.shape[0], -1))


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ("parts", r"the model: reshape should give \(2, 2, 2\) once .*, but reshape gives \(2, 4, 1\)"),
        ("batch", "does not run without these channels"),
        ("scale", "computes something else"),
    ],
)
def test_a_layer_that_keeps_sizes_of_its_own_is_refused(fixed: str, message: str) -> None:
    with pytest.raises(CompressionError, match=message):
        remove(OwnSizes(fixed), image(2, 4).to("float32"), {"first": [1, 2]})


def test_sizes_of_ones_own_modules_can_be_registered() -> None:
    class Parts(OwnSizes):
        pass

    @resized.register(Parts)
    def _(module: Parts, before: Any) -> None:
        module.parts = module.first.out_features // (before["first.weight"][0] // module.parts)

    model = ready(Parts("parts"))
    less = require_like_the_whole(model, (image(2, 4),), {"first": [1]})
    assert (less.parts, less.first.out_features) == (3, 6)


# ---------------------------------------------------------------- an ordinary model


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_of_the_smaller_model_moves_in_a_step(name: str) -> None:
    model, inputs = small(name)
    less = remove(model, inputs, some(dependencies(model, inputs), 1)).train()
    before = {n: p.data.copy() for n, p in less.named_parameters()}
    optimizer = optim.AdamW(less.parameters(), lr=1e-3)
    (less(*inputs) ** 2.0).sum().backward()
    optimizer.step()
    for n, p in less.named_parameters():
        assert (p.data != before[n]).any(), n
        assert p.dtype == np.float64


def test_frozen_parameters_stay_frozen_and_modes_stay() -> None:
    model = MLP((4, 8, 3))
    model.layers[0].weight.requires_grad_(False)
    less = shrink(model, None, 0.5).model
    assert not less.layers[0].weight.requires_grad
    assert less.layers[0].bias.requires_grad
    assert less.training
    assert not shrink(model.eval(), None, 0.5).model.training


@pytest.mark.parametrize("name", ["cnn", "grouped", "gpt"])
def test_the_smaller_model_compiles(name: str) -> None:
    model, inputs = small(name)
    less = remove(model, inputs, some(dependencies(model, inputs), 2)).to("float32")
    given = [x.to("float32") if x.dtype == np.float64 else x for x in inputs]
    program = tt.compile(less)
    with tt.no_grad():
        program(*given)  # the first call is the eager run that is traced
        np.testing.assert_allclose(program(*given).data, less(*given).data, rtol=1e-4, atol=1e-5)
    assert "became" in repr(program.explain())


def test_smaller_models_are_saved_and_read_again(tmp_path: Path) -> None:
    for model in (MLP((4, 8, 6, 3)), CNN(image_size=8)):
        less = shrink(model, None, 0.5).model
        save_weights(less, tmp_path / "smaller.safetensors")
        loaded = load_weights(tmp_path / "smaller.safetensors")
        assert np.array_equal(run(loaded, model.example_input), run(less, model.example_input))


def test_what_no_configuration_describes_is_not_written(tmp_path: Path) -> None:
    less = shrink(GPT(11, context=8, width=8, layers=2, heads=2), None, 0.5, what=("heads",)).model
    with pytest.raises(CheckpointError, match=r"q_proj\.weight is \(4, 8\), .* has \(8, 8\)"):
        save_weights(less, tmp_path / "gpt.safetensors")
    assert not list(tmp_path.iterdir())
    model, state = MLP((4, 8, 3)), tt.random.default_generator.state.data.copy()
    save_weights(model, tmp_path / "mlp.safetensors")
    assert np.array_equal(tt.random.default_generator.state.data, state)


# ---------------------------------------------------------------- blocks


def test_the_block_that_does_least_is_dropped() -> None:
    model = GPT(11, context=8, width=12, layers=4, heads=3).eval()
    for number in (1, 3):
        for name in ("attn.out_proj", "mlp.fc2"):
            for kind in ("weight", "bias"):
                parameter = dict(model.named_parameters())[f"blocks.{number}.{name}.{kind}"]
                parameter.assign_(parameter.data * (1e-3 if number == 1 else 0))
    tokens = ids(3, 6)
    whole = run(model, tokens)
    found = drop_blocks(model, 2, [tokens])
    assert [drop.path for drop in found.drops] == ["blocks.3", "blocks.1"]
    less = found.model
    assert (len(less.blocks), less.layers, [b.attn.layer for b in less.blocks]) == (2, 2, [0, 1])
    assert (len(model.blocks), model.layers) == (4, 4)
    assert found.drops[0].cost == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(run(less, tokens), whole, atol=1e-3)
    assert found.score == "cosine"
    assert "blocks.3" in repr(found)
    assert [name for name, _ in found.drops[1].tried] == ["blocks.0", "blocks.1", "blocks.2"]
    assert "blocks.1.attn.q_proj" in {step.path for step in dependencies(less).steps}


def test_fewer_blocks_are_saved_and_read_again(tmp_path: Path) -> None:
    model = GPT(11, context=8, width=12, layers=3, heads=3)
    less = drop_blocks(model, 1, [(ids(2, 5), ids(2, 5, seed=1))]).model
    save_weights(less, tmp_path / "gpt.safetensors")
    loaded = load_weights(tmp_path / "gpt.safetensors")
    assert np.array_equal(run(loaded, ids(2, 5)), run(less.eval(), ids(2, 5)))


def test_a_metric_of_ones_own_chooses_the_block() -> None:
    model = GPT(11, context=8, width=12, layers=3, heads=3)
    first = model.blocks[0].norm1.weight.data + 7
    model.blocks[0].norm1.weight.assign_(first)

    def starts_with_the_second(m: Any) -> float:
        return float(m.blocks[0].norm1.weight.data[0] < 5)

    found = drop_blocks(model, 1, [ids(2, 5)], metric=starts_with_the_second)
    assert (found.drops[0].path, found.before, found.after) == ("blocks.0", 0.0, 1.0)


def test_blocks_that_cannot_be_dropped() -> None:
    model, inputs = small("gpt")
    for count in (0, 2, -1):
        with pytest.raises(CompressionError, match="of 2 blocks cannot be dropped; expected 1 to 1"):
            drop_blocks(model, count, list(inputs))
    with pytest.raises(CompressionError, match="no ModuleList at 'layers'"):
        drop_blocks(model, 1, list(inputs), blocks="layers")
    with pytest.raises(CompressionError, match="those of the model are: none"):
        drop_blocks(MLP((4, 3)), 1, [image(2, 4)])
    with pytest.raises(CompressionError, match="no batches"):
        drop_blocks(model, 1, [])

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(4, 5), nn.Linear(5, 3)])

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts:
                x = part(x)
            return x

    with pytest.raises(CompressionError, match="parts: a block cannot be left out: linear"):
        drop_blocks(Stack(), 1, [image(2, 4).to("float32")])
