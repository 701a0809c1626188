"""Memory of models by module, against sizes worked out by hand and a walk of the graph in another way."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import Tensor, nn
from tinytorch.models import CNN, GPT, MLP
from tinytorch.nn.functional import cross_entropy
from tinytorch.ops.base import Ghost
from tinytorch.optim import SGD, AdamW
from tinytorch.profiling.memory.modules import arrays_in, distinct, owner_of
from tinytorch.profiling.memory.profiler import MemoryProfiler
from tinytorch.profiling.profile import MemoryUse, ModuleMemory

FLOAT = 4


def profile(function: Any, *args: Any, **options: Any) -> MemoryUse:
    return MemoryProfiler().profile(function, *args, **options)


def by_path(use: MemoryUse) -> dict[str, ModuleMemory]:
    return {module.path: module for module in use.modules}


def batch(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def kept_for_backward(model: nn.Module, out: Tensor, given: list[Tensor]) -> int:
    """Bytes that the graph behind `out` holds, other than parameters and inputs: all at once, afterwards."""
    excluded = {
        id(owner_of(t._array)) for t in (*model.parameters(), *given, *dict(model.named_buffers()).values())
    }
    found: dict[int, Any] = {}
    stack, seen = [out._node], set()
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        tensors = [t for t in node.inputs if not isinstance(t, Ghost)]
        leaves = [t for t in tensors if t._node is None and t._base is None]
        excluded.update(id(owner_of(t._array)) for t in leaves)
        held = [t._array for t in tensors] + list(node.aux) + ([] if node.out is None else [node.out])
        found.update((id(owner_of(a)), owner_of(a)) for a in held)
        stack += [t._node for t in node.inputs]
    return sum(array.nbytes for key, array in found.items() if key not in excluded)


def test_a_two_layer_perceptron_by_hand() -> None:
    rows, wide, hidden, classes = 64, 784, 256, 10
    model, x = MLP((wide, hidden, classes)), batch(rows, wide)
    use = profile(model, (x,))
    own = by_path(use)
    assert use.parameters == FLOAT * (hidden * (wide + 1) + classes * (hidden + 1))
    assert use.activations == FLOAT * rows * hidden, "the hidden layer once, though two ops keep it"
    assert (use.gradients, use.optimizer) == (0, 0)
    assert use.baseline == pytest.approx(use.parameters + x.nbytes, rel=0.02)
    assert own["layers.0"].parameters == FLOAT * hidden * (wide + 1)
    assert own["layers.2"].parameters == FLOAT * classes * (hidden + 1)
    assert own["layers"].parameters == own["flatten"].parameters == 0
    assert own["layers.1"].activations == FLOAT * rows * hidden
    assert own["layers.0"].activations == own["layers.2"].activations == 0


def test_module_peaks_by_hand() -> None:
    rows, hidden = 64, 4_096
    model = nn.Sequential(nn.Linear(16, hidden), nn.ReLU(), nn.Linear(hidden, 8))
    with tt.no_grad():
        use = profile(model, (batch(rows, 16),))
    own, one = by_path(use), FLOAT * rows * hidden
    assert use.activations == 0
    assert own["0"].peak == pytest.approx(own["0"].temporaries, abs=2_048)
    assert own["1"].temporaries == pytest.approx(one, rel=0.01), "its result"
    assert own["1"].peak == pytest.approx(2 * one, rel=0.01), "its input still lives"
    assert own["2"].peak <= 2 * one + FLOAT * rows * 8 + 4_096
    assert own[""].peak == max(module.peak for module in use.modules)
    assert own[""].peak == pytest.approx(use.allocated, rel=0.01)
    assert use.temporaries == pytest.approx(use.allocated, rel=0.01)


MODELS: list[tuple[Callable[[], nn.Module], tuple[int, ...] | None]] = [
    (lambda: MLP((20, 50, 30, 5)), (7, 20)),
    (CNN, None),
    (lambda: GPT(vocab_size=65, context=32, width=32, layers=2, heads=4), None),
]


@pytest.mark.parametrize(("make", "shape"), MODELS, ids=["mlp", "cnn", "gpt"])
def test_activations_equal_those_of_the_graph_behind_the_result(
    make: Callable[[], nn.Module], shape: tuple[int, ...] | None
) -> None:
    model = make()
    x = batch(*shape) if shape is not None else model.example_input
    assert x is not None
    expected = kept_for_backward(model, model(x), [x])
    use = profile(model, (x,))
    assert expected > 0
    assert use.activations == expected
    assert sum(module.activations for module in use.modules) == expected
    assert use.allocated >= use.activations
    assert use.allocated <= 1.01 * (use.activations + use.temporaries)
    assert use.parameters == sum(p.nbytes for p in model.parameters())
    assert sum(module.parameters for module in use.modules) == use.parameters
    with tt.no_grad():
        evaluated = profile(model, (x,))
    assert evaluated.activations == 0
    assert all(module.activations == 0 for module in evaluated.modules)
    assert evaluated.allocated < use.allocated


def test_a_training_step_has_gradients_and_the_optimizers_state() -> None:
    model, x = MLP((100, 80, 10)), batch(32, 100)
    labels = Tensor(np.zeros(32, np.int64))
    optimizer = AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(x), labels).backward()
        optimizer.step()

    use = profile(step, model=model, optimizer=optimizer)
    own, count = by_path(use), len(list(model.parameters()))
    assert use.gradients == use.parameters == FLOAT * (80 * 101 + 10 * 81)
    assert use.optimizer == 2 * use.parameters + 8 * count, "two moments, and a counter each"
    assert own["layers.0"].gradients == FLOAT * 80 * 101
    assert sum(module.gradients for module in use.modules) == use.gradients
    assert use.baseline >= use.parameters + use.gradients + use.optimizer
    assert (use.pattern, use.retained) == ("steady", 0) or use.pattern == "spiky"

    without = profile(step, optimizer=optimizer)
    assert (without.parameters, without.gradients) == (use.parameters, use.gradients)
    assert by_path(without)[""].parameters == use.parameters
    assert profile(step).parameters == 0
    assert profile(step).activations == use.activations


def test_what_backward_needs_is_counted_while_it_is_there() -> None:
    model, x = MLP((10, 2_000, 5)), batch(40, 10)
    hidden = FLOAT * 40 * 2_000

    def step() -> None:
        model.zero_grad()
        (model(x) * 1.0).sum().backward()

    use = profile(step, model=model)
    assert hidden <= use.activations <= hidden + FLOAT * 40 * 5 * 2
    assert by_path(use)["layers.1"].activations == hidden

    def twice() -> None:
        step()
        step()

    two = profile(twice, model=model)
    assert two.activations == use.activations, "the first step's are gone when the second begins"


def test_two_graphs_at_once_are_kept_both() -> None:
    model, x = MLP((10, 2_000, 5)), batch(40, 10)
    one = profile(lambda: model(x), model=model).activations
    assert profile(lambda: (model(x), model(x)), model=model).activations == 2 * one
    assert profile(lambda: [model(x).sum().item() for _ in range(3)], model=model).activations == one


def test_gradients_that_are_dropped_before_the_end_are_seen() -> None:
    model, x = MLP((10, 20, 5)), batch(4, 10)

    def step() -> None:
        model(x).sum().backward()
        tt.ones(3).sum()
        model.zero_grad()

    use = profile(step, model=model)
    assert use.gradients == use.parameters
    assert all(parameter.grad is None for parameter in model.parameters())


def test_shared_parameters_count_once() -> None:
    gpt = GPT(vocab_size=65, context=16, width=32, layers=1, heads=2)
    use = profile(gpt)
    assert use.parameters == sum(p.nbytes for p in gpt.parameters())
    assert sum(module.parameters for module in use.modules) == use.parameters


def test_views_and_what_is_handed_through_are_no_memory_of_their_own() -> None:
    x = batch(100, 1_000)
    w = Tensor(np.ones(1_000, np.float32), requires_grad=True)
    use = profile(lambda: (x.reshape(1_000, 100).T.reshape(100, 1_000) * w).sum())
    assert use.activations in (0, x.nbytes), "a copy that reshape needed, at most"
    again = profile(lambda: (x.reshape(10, 10, 1_000) * w).sum())
    assert again.activations == 0


def test_the_timeline_is_in_order_bounded_and_has_the_peak() -> None:
    model, x, wide = MLP((10, 8, 5)), batch(50, 10), batch(200_000)

    def many() -> None:
        with tt.no_grad():
            for _ in range(180):
                model(x)
            (wide + 1.0).tanh()
            model(x)

    use = profile(many, model=model, repeats=2)
    assert 1_000 <= len(use.timeline) <= 2_000
    seconds = [point.seconds for point in use.timeline]
    assert seconds == sorted(seconds)
    assert seconds[0] == 0.0
    highest = max(use.timeline, key=lambda point: point.bytes)
    assert highest.bytes - use.timeline[0].bytes == pytest.approx(2 * wide.nbytes, rel=0.01)
    assert use.allocated == pytest.approx(2 * wide.nbytes, rel=0.05)
    assert highest.path == ""
    assert {point.path for point in use.timeline} >= {"layers.0", "layers.1", "layers.2"}


def test_watching_keeps_nothing_alive_and_does_not_count_itself() -> None:
    x = batch(1_000)

    def many() -> None:
        with tt.no_grad():
            for _ in range(200):
                x + 1.0

    use = profile(many, repeats=2)
    assert use.allocated < 6_000, "one result, and less than a slot of a list for each"
    assert use.temporaries == pytest.approx(use.allocated, abs=2_500)
    assert by_path(use)[""].peak == pytest.approx(use.allocated, abs=2_500)
    drift = use.timeline[-1].bytes - use.timeline[0].bytes
    assert abs(drift) < 1_500
    once = profile(many, repeats=1)
    assert once.allocated == pytest.approx(use.allocated, abs=2_500)
    assert abs(once.retained) < 1_500
    gc.collect()
    assert profile(many, repeats=2).baseline < 100_000


def test_the_hidden_layers_of_a_dead_graph_are_not_kept_alive() -> None:
    model, x = MLP((10, 50_000, 5)), batch(20, 10)
    hidden = FLOAT * 20 * 50_000
    use = profile(lambda: [model(x).sum().item() for _ in range(4)], model=model)
    assert use.allocated < 3 * hidden


def test_tensors_without_data_are_left_out() -> None:
    def shapes() -> None:
        with tt.meta():
            tt.zeros(10_000, 10_000) @ tt.zeros(10_000, 10)

    use = profile(shapes)
    assert (use.activations, use.allocated < 20_000) == (0, True)


def test_owners_and_arguments() -> None:
    a, b = np.ones(6), Tensor(np.ones(3))
    assert owner_of(a.reshape(2, 3).T[1:]) is a
    found = list(arrays_in([a, (b,), {"k": [b]}, "text", 3]))
    assert [id(array) for array in found] == [id(a), id(b._array), id(b._array)]
    assert len(distinct([*found, a[2:]])) == 2


def test_sgd_without_momentum_has_no_state() -> None:
    model = MLP((4, 3))
    assert profile(model, optimizer=SGD(model.parameters(), lr=0.1)).optimizer == 0


def test_a_model_of_more_modules_than_the_first_table_holds() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(150)))
    use = MemoryProfiler().profile(model, args=(tt.ones(2, 4),))
    assert [row.path for row in use.modules if row.activations] == [str(i) for i in range(1, 150)]
    assert {row.parameters for row in use.modules if row.path} == {4 * (16 + 4)}
