"""The decoder: cached equals uncached however a text is cut, compiled and eager, one sequence and several."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.caching.small import MODELS, close, gpt, lively, llama, logits_of, state_of, text
from tinytorch import use_backend
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.runner import Interpreted
from tinytorch.caching import Decoder, traced
from tinytorch.data import load
from tinytorch.errors import CacheError, GenerationError
from tinytorch.models import BERT, GPT, MLP, load_pretrained
from tinytorch.nn import Dropout
from tinytorch.ops.context import OpEvent, keep_rules, observe, rules, without_rules
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor

COMPILED = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
EACH = pytest.mark.parametrize("name", MODELS)
FIXED = pytest.mark.parametrize(("name", "dtype"), [("gpt", "float32"), ("llama", "int8")])
SPLITS = st.lists(st.integers(1, 80), min_size=1, max_size=12)


@functools.cache
def decoder_of(name: str, **settings: Any) -> Decoder:
    """A decoder that tests share, for the programs that it has; each test begins with an empty cache."""
    return Decoder(MODELS[name](), page=8, **settings)


def shared(name: str, **settings: Any) -> Decoder:
    usual = {"dtype": "float32", "batch": 1, "compiled": True, "fixed": False}
    decoder = decoder_of(name, **{**usual, **settings})
    decoder.cache.reset()
    return decoder


def fed(decoder: Decoder, ids: Sequence[int], split: Sequence[int], every: bool = False) -> Array:
    """The logits of the last piece, or of every token, for a text in pieces, the same for all sequences."""
    found, at = [], 0
    batch = decoder.cache.batch
    while at < len(ids):
        for count in split:
            if at < len(ids):
                found.append(decoder.feed([ids[at : at + count]] * batch, every=every))
                at += len(ids[at : at + count])
    assert decoder.cache.lengths.tolist() == [len(ids)] * batch
    return np.concatenate(found, 1) if every else found[-1]


# ---------------------------------------------------------------- cached equals uncached


@COMPILED
@EACH
@given(split=SPLITS, length=st.integers(1, 96), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_logits_are_those_without_a_cache_however_a_text_is_cut(
    name: str, compiled: bool, split: list[int], length: int, seed: int
) -> None:
    decoder, ids = shared(name, compiled=compiled), text(seed, length)
    close(fed(decoder, ids, split, every=True), logits_of(decoder.model, ids)[None])
    assert decoder.why_eager == ""
    assert bool(decoder._passes) == compiled


@COMPILED
@EACH
def test_token_by_token(name: str, compiled: bool) -> None:
    decoder, ids = shared(name, compiled=compiled), text(5, 96)
    expected = logits_of(decoder.model, ids)
    for i, token in enumerate(ids):
        close(decoder.feed([[token]])[0], expected[i])
    assert decoder.room == 0


@COMPILED
def test_a_trained_model_token_by_token(compiled: bool) -> None:
    """Its attention is sharp and its logits are large, as those of random weights are not."""
    model = load_pretrained("gpt")
    ids = np.frombuffer(load("pydocs", "test").text, np.uint8)[4000 : 4000 + model.context].tolist()
    expected, decoder = logits_of(model, ids), Decoder(model, compiled=compiled)
    close(fed(decoder, ids, [1], every=True)[0], expected)
    assert np.abs(expected).max() > 10


@FIXED
@given(split=SPLITS, length=st.integers(1, 96), seed=st.integers(0, 99))
@settings(max_examples=4)
def test_in_fixed_order_each_bit_is_the_same_however_a_text_is_cut(
    name: str, dtype: str, split: list[int], length: int, seed: int
) -> None:
    ids = text(seed, length)
    found = []
    for batch in (1, 3):
        decoder = shared(name, fixed=True, dtype=dtype, batch=batch)
        for pieces in ([1], [length], split):
            decoder.cache.reset()
            found += list(fed(decoder, ids, pieces))
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])
    close(found[0], logits_of(decoder.model, ids)[-1], 1e-5 if dtype == "float32" else 0.2)


def test_in_fixed_order_products_that_are_cut_into_blocks_give_the_same_bits() -> None:
    model, ids = gpt(width=288, heads=4, layers=1, vocab_size=300), text(2, 64, 300)
    found = []
    for batch in (1, 5):
        decoder = Decoder(model, batch=batch, fixed=True)
        for split in ([1], [64], [64 - 17, 1]):
            decoder.cache.reset()
            found += list(fed(decoder, ids, split))
    for one in found:
        np.testing.assert_array_equal(one, found[0])
    close(found[0], logits_of(model, ids)[-1], 2e-5)


@pytest.mark.parametrize(("name", "dtype"), [("gpt", "int8"), ("llama", "float16")])
def test_compiled_and_eager_caches_keep_the_same_numbers(name: str, dtype: str) -> None:
    ids = text(8, 40)
    found = [fed(shared(name, dtype=dtype, compiled=c), ids, [8, 1], every=True) for c in (True, False)]
    close(found[0], found[1], 2e-4 if dtype == "float16" else 2e-2)  # a key may round to its neighbour
    exact = logits_of(MODELS[name](), ids)[None]
    for one in found:
        assert 0 < np.abs(one - exact).max() < (0.02 if dtype == "float16" else 0.5)


# ---------------------------------------------------------------- batches


@COMPILED
@EACH
@given(lengths=st.lists(st.integers(1, 90), min_size=3, max_size=3), seed=st.integers(0, 99))
@settings(max_examples=6)
def test_prompts_of_different_lengths_are_as_each_alone(
    name: str, compiled: bool, lengths: list[int], seed: int
) -> None:
    decoder = shared(name, compiled=compiled, batch=3)
    texts = [text(seed + b, n + 5) for b, n in enumerate(lengths)]
    found = [decoder.start([ids[:n] for ids, n in zip(texts, lengths, strict=True)])]
    for i in range(5):
        found.append(decoder.feed([[ids[n + i]] for ids, n in zip(texts, lengths, strict=True)]))
    assert decoder.cache.lengths.tolist() == [n + 5 for n in lengths]
    for b, (ids, n) in enumerate(zip(texts, lengths, strict=True)):
        close(np.stack([one[b] for one in found]), logits_of(decoder.model, ids)[n - 1 :])


@pytest.mark.parametrize("lengths", [[3, 70, 20], [70, 1, 69], [40, 41, 8]])
def test_batches_are_as_each_alone_to_the_bit_in_fixed_order(lengths: list[int]) -> None:
    several, one = (shared("gpt", fixed=True, batch=b) for b in (3, 1))
    texts = [text(b, n) for b, n in enumerate(lengths)]
    found = several.start(texts)
    for b, ids in enumerate(texts):
        np.testing.assert_array_equal(found[b], one.start([ids])[0])


@pytest.mark.parametrize(("compiled", "sinks"), [(True, 3), (False, 0), (False, 3)])
def test_a_window_over_prompts_of_different_lengths(sinks: int, compiled: bool) -> None:
    sight = {"window": 9, "sinks": sinks, "capacity": 32, "compiled": compiled}
    several, one = shared("gpt", batch=3, **sight), shared("gpt", **sight)
    texts = [text(b, n + 4) for b, n in enumerate((70, 3, 41))]
    found = [several.start([ids[:-4] for ids in texts])]
    for i in range(-4, 0):
        found.append(several.feed([[ids[i]] for ids in texts]))
    for b, ids in enumerate(texts):
        alone = [one.start([ids[:-4]])[0]]
        alone += [one.feed([[token]])[0] for token in ids[-4:]]
        close(np.stack([logits[b] for logits in found]), np.stack(alone))


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize(
    ("name", "sinks", "compiled"),
    [("gpt", 0, True), ("llama", 5, True), ("gpt", 5, False), ("llama", 0, False)],
)
def test_a_window_sees_the_same_however_a_text_is_cut(name: str, sinks: int, compiled: bool) -> None:
    decoder = shared(name, window=11, sinks=sinks, capacity=40, compiled=compiled, fixed=True)
    ids = text(4, 96)
    expected = fed(decoder, ids, [1], every=True)
    for split in ([96], [17, 8], [64, 3]):
        decoder.cache.reset()
        found = fed(decoder, ids, split, every=True)
        close(found, expected)
        assert not compiled or found.tobytes() == expected.tobytes()
        assert decoder.cache.dropped.tolist() > [30]
    full = logits_of(decoder.model, ids)
    close(expected[0, :11], full[:11])
    assert np.abs(expected[0, 30:] - full[30:]).max() > 0.1


def test_a_window_as_long_as_the_text_is_none() -> None:
    ids = text(7, 90)
    decoder = shared("gpt", window=96, fixed=True)
    np.testing.assert_array_equal(fed(decoder, ids, [1]), fed(shared("gpt", fixed=True), ids, [1]))
    assert decoder.room == 6


# ---------------------------------------------------------------- going back, and twins


@FIXED
@pytest.mark.parametrize("batch", [1, 3])
@given(seed=st.integers(0, 999), data=st.data())
@settings(max_examples=5)
def test_going_back_and_on_is_as_if_nothing_had_been_there(
    name: str, dtype: str, batch: int, seed: int, data: st.DataObject
) -> None:
    decoder = shared(name, fixed=True, dtype=dtype, batch=batch)
    first, second = text(seed, 60), text(seed + 1, 60)
    back, more = data.draw(st.integers(0, 59)), data.draw(st.integers(1, 36))
    decoder.feed([first] * batch)
    decoder.cache.truncate(back)
    after = decoder.feed([second[:more]] * batch)
    decoder.cache.reset()
    np.testing.assert_array_equal(after, decoder.feed([first[:back] + second[:more]] * batch))


@FIXED
@pytest.mark.parametrize("batch", [1, 3])
def test_twins_do_not_disturb_each_other(name: str, dtype: str, batch: int) -> None:
    decoder = shared(name, fixed=True, dtype=dtype, batch=batch)
    begin, ends = text(1, 21), [text(2, 30), text(3, 30)]
    alone = []
    for end in ends:
        decoder.cache.reset()
        decoder.feed([begin] * batch)
        alone.append([decoder.feed([end[i : i + 10]] * batch) for i in (0, 10, 20)])
    decoder.cache.reset()
    decoder.feed([begin] * batch)
    twins = [decoder.cache, decoder.cache.fork()]
    try:
        for i in range(3):
            for twin, end, expected in zip(twins, ends, alone, strict=True):
                decoder.cache = twin
                found = decoder.feed([end[10 * i : 10 * i + 10]] * batch)
                np.testing.assert_array_equal(found, expected[i])
    finally:
        decoder.cache = twins[0]


# ---------------------------------------------------------------- programs


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each pass that is traced."""
    found: list[int] = []
    real = traced.trace

    def counting(step: Callable[..., Any], arguments: Any) -> Any:
        found.append(arguments[0].shape[1])
        return real(step, arguments)

    monkeypatch.setattr(traced, "trace", counting)
    return found


def test_one_program_for_each_size_and_none_for_a_position(traces: list[int]) -> None:
    decoder = Decoder(gpt(layers=1), page=8)
    fed(decoder, text(0, 96), [1])
    assert traces == [1]
    for split in ([70, 3], [20, 44, 9], [64, 1], [96]):
        decoder.cache.reset()
        fed(decoder, text(1, 96), split)
    assert sorted(traces) == [1, 8, 64]
    assert set(decoder._passes) == {(1, False), (8, False), (64, False)}
    twin = decoder.cache = decoder.cache.fork()
    twin.truncate(3)
    decoder.feed([[1]])
    assert len(traces) == 3


@pytest.mark.parametrize("fixed", [True, False])
def test_programs_are_made_for_a_fixed_order_where_that_is_asked_for(
    fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def runner(graph: Graph, fixed: bool = False) -> Interpreted:
        asked.append(fixed)
        return Interpreted(graph)

    monkeypatch.setattr(traced, "make_runner", runner)
    Decoder(gpt(layers=1), page=8, fixed=fixed).feed([[1]])
    assert asked == [fixed]


def test_pieces_are_filled_up_where_that_is_less_work_and_there_is_room() -> None:
    decoder = shared("gpt", compiled=True)
    for count, sizes in ((1, [1]), (2, [8]), (8, [8]), (9, [8, 1]), (16, [64]), (15, [8, 8]), (66, [64, 8])):
        assert decoder._sizes(count) == sizes, count
    decoder.feed([text(0, 90)])
    assert decoder._sizes(6) == [1] * 6
    decoder.cache.truncate(88)
    assert decoder._sizes(6) == [8]


@pytest.mark.parametrize("where", ["rules", "naive"])
def test_a_learners_rule_or_another_backend_runs_op_by_op(where: str, traces: list[int]) -> None:
    decoder, ids = Decoder(gpt(layers=1), page=8), text(0, 6)
    assert not rules
    if where == "rules":
        try:
            keep_rules(["MatMul"])
            found = decoder.feed([ids])
            with without_rules():
                decoder.feed([ids[:1]])
                assert traces == [1]
        finally:
            rules.clear()
            with without_rules():
                pass
    else:
        with use_backend("naive"):
            found = decoder.feed([ids])
    assert traces == ([1] if where == "rules" else [])
    close(found[0], logits_of(decoder.model, ids)[-1])


def test_without_llvm_numpy_runs_the_same_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "make_runner", lambda graph, fixed=False: Interpreted(graph))
    ids = text(3, 60)
    for make, dtype, tolerance in ((gpt, "float32", 1e-5), (llama, "int8", 0.05)):
        decoder = Decoder(make(), dtype=dtype, window=20, sinks=2, capacity=64, page=8)
        plain = Decoder(make(), dtype=dtype, window=20, sinks=2, capacity=64, page=8, compiled=False)
        close(fed(decoder, ids, [9, 1], True), fed(plain, ids, [9, 1], True), tolerance)
        assert isinstance(decoder._passes[8, True].runner, Interpreted)


class BothWays(GPT):
    """A model whose tokens see those behind them too."""

    def forward(self, ids: Any, cache: Any = None) -> Any:
        x = self.wte(ids)
        for block in self.blocks:
            x = x + block.attn(block.norm1(x), None, False, cache)
        return self.head(x)


def test_a_model_that_cannot_be_compiled_runs_op_by_op_and_says_why() -> None:
    decoder = Decoder(lively(BothWays(vocab_size=40, context=32, width=16, layers=1, heads=2), 0), page=8)
    found = decoder.feed([[1, 2, 3]])
    assert "no mask but the causal one" in decoder.why_eager
    assert not decoder._passes
    close(found[0], logits_of(decoder.model, [1, 2, 3])[-1])


def test_weights_that_change_are_those_of_the_next_pass() -> None:
    model, ids = gpt(layers=1), text(1, 5)
    decoder = Decoder(model, page=8)
    decoder.feed([ids])
    lively(model, 77)
    decoder.cache.reset()
    close(decoder.feed([ids])[0], logits_of(model, ids)[-1])


@COMPILED
def test_modes_of_modules_are_as_before_and_dropout_is_off(compiled: bool) -> None:
    model, ids = gpt(layers=1, dropout=0.5), text(1, 5)
    expected = logits_of(model, ids)
    model.train()
    model.blocks[0].attn.eval()
    modes = [module.training for module in model.modules()]
    assert any(isinstance(m, Dropout) and m.training for m in model.modules())
    decoder = Decoder(model, page=8, compiled=compiled)
    close(decoder.feed([ids], every=True)[0], expected)
    assert [module.training for module in model.modules()] == modes


class Watcher:
    """Notes the ops that it is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_op(self, event: OpEvent) -> None:
        self.seen.append(type(event.op).__name__)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        raise AssertionError(f"a value left by {how}")


def test_whoever_watches_sees_the_ops_of_a_program_and_it_gives_the_same() -> None:
    decoder, ids = shared("gpt", compiled=True), text(2, 20)
    watcher = Watcher()
    with observe(watcher):
        found = decoder.feed([ids])
    close(found[0], logits_of(decoder.model, ids)[-1])
    assert watcher.seen.count("PagedAttention") == 2 * len(decoder._sizes(20))


# ---------------------------------------------------------------- checks of a few tokens


@COMPILED
def test_a_check_is_a_pass_of_just_that_size(compiled: bool) -> None:
    decoder, ids = shared("gpt", compiled=compiled), text(2, 96)
    expected = logits_of(decoder.model, ids)
    decoder.feed([ids[:91]])
    close(decoder.check(ids[91:94]), expected[91:94])
    decoder.cache.truncate(92)
    close(decoder.check(ids[92:96]), expected[92:96])
    before = state_of(decoder.cache)
    with pytest.raises(CacheError, match="the cache holds|full"):
        decoder.check([1])
    assert state_of(decoder.cache) == before


# ---------------------------------------------------------------- refused


@COMPILED
@pytest.mark.parametrize("capacity", [None, 20])
def test_what_does_not_fit_is_refused_before_anything_changed(compiled: bool, capacity: int | None) -> None:
    decoder = shared("gpt", compiled=compiled, capacity=capacity)
    most = capacity or 96
    decoder.feed([text(0, most - 3)])
    assert decoder.room == 3
    before = state_of(decoder.cache)
    for count in (4, 90):
        with pytest.raises(CacheError, match=f"{count} tokens behind {most - 3}: the cache holds {most}"):
            decoder.feed([text(1, count)])
        assert state_of(decoder.cache) == before
    assert decoder.feed([text(1, 3)]).shape == (1, 40)


@pytest.mark.parametrize("ids", [[], [[]], [1, 2], [[1], [2]], [[[1]]]])
def test_ids_of_another_shape_are_refused(ids: Any) -> None:
    decoder = shared("gpt", compiled=True)
    with pytest.raises(GenerationError, match=r"feed: ids \(.*\); expected \(1, t\)"):
        decoder.feed(ids)


@pytest.mark.parametrize("lengths", [[0, 1, 2], [4, 1, 1], [1, 1], [[1, 1, 1]], [-1, 2, 2]])
def test_lengths_that_no_row_has_are_refused_before_anything_changed(lengths: Any) -> None:
    decoder = shared("gpt", compiled=False, batch=3)
    decoder.feed([[1], [2], [3]])
    before = state_of(decoder.cache)
    with pytest.raises(GenerationError, match="lengths"):
        decoder.feed([[1, 2, 3]] * 3, lengths)
    assert state_of(decoder.cache) == before


@COMPILED
def test_ids_out_of_range_leave_the_cache_as_it_was(compiled: bool) -> None:
    decoder, ids = shared("gpt", compiled=compiled), text(0, 12)
    decoder.feed([ids[:9]])
    before = state_of(decoder.cache)
    for wrong in ([40], [-1], [3, 99, 3]):
        with pytest.raises(GenerationError, match=f"feed: id {sorted(wrong)[-1]}; the model has ids 0 to 39"):
            decoder.feed([wrong])
        assert state_of(decoder.cache) == before
    close(decoder.feed([ids[9:]])[0], logits_of(decoder.model, ids)[-1])


def test_a_pass_that_is_interrupted_between_layers_leaves_the_cache_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder, ids = Decoder(llama().train(), page=8, compiled=False), text(0, 12)
    decoder.feed([ids[:9]])
    attend, calls = type(decoder.cache).attend, [0]

    def interrupted(self: Any, layer: int, *rest: Any) -> Any:
        calls[0] += 1
        if layer == 1:
            raise KeyboardInterrupt
        return attend(self, layer, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(type(decoder.cache), "attend", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoder.feed([[1, 2]])
    assert calls == [2]
    assert all(module.training for module in decoder.model.modules())
    close(decoder.feed([ids[9:]])[0], logits_of(decoder.model, ids)[-1])


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([[]], "each needs at least one"),
        ([], "for 1 sequences"),
        ([[1], [2]], "for 1 sequences"),
        ([[1, 40]], "id 40; the model has ids 0 to 39"),
        ([[-1]], "id -1"),
        ([[1] * 97], "a prompt of 97 tokens, and the cache holds 96"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused_before_anything_changed(prompts: Any, message: str) -> None:
    decoder = shared("gpt", compiled=True)
    decoder.feed([[1, 2, 3]])
    before = state_of(decoder.cache)
    with pytest.raises(GenerationError, match=message):
        decoder.start(prompts)
    assert state_of(decoder.cache) == before


def test_a_prompt_may_be_longer_than_a_window_but_not_than_the_model() -> None:
    decoder = shared("gpt", window=9, capacity=32, sinks=0, compiled=True)
    assert np.isfinite(decoder.start([text(0, 96)])).all()
    with pytest.raises(GenerationError, match="a prompt of 97 tokens"):
        decoder.start([text(0, 97)])


@pytest.mark.parametrize(
    "model", [MLP((4, 3)), BERT(vocab_size=20, context=8, width=16, layers=1, heads=2), Dropout(0.1)]
)
def test_models_that_are_no_language_models_are_refused(model: Any) -> None:
    with pytest.raises(GenerationError, match=f"{type(model).__name__}: no language model"):
        Decoder(model)
