"""Compiled training steps, and gradients through compiled models, are those of eager mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.acceleration.compile_helper import Runs, close, counting_runs, random, same_gradients, same_state
from tinytorch import nn
from tinytorch.errors import GradientError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.ops.batchnorm import batch_norm
from tinytorch.optim import SGD, Adam, AdamW, CosineWithWarmup, StepLR
from tinytorch.optim.clip import clip_grad_norm
from tinytorch.tensor import Tensor


@pytest.fixture
def runs() -> Iterator[Runs]:
    with counting_runs() as found:
        yield found


def mlp(seed: int = 1) -> MLP:
    return MLP((5, 7, 3), generator=tt.Generator(seed))


def batch(seed: int, rows: int = 6) -> tuple[Tensor, Tensor]:
    return random(rows, 5, seed=seed), Tensor(np.random.default_rng(seed).integers(0, 3, rows))


def step_of(model: nn.Module, optimizer: Any) -> Callable[..., Tensor]:
    loss = nn.CrossEntropyLoss()

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        out = model(x)
        value = loss(out.reshape(-1, out.shape[-1]), y.reshape(-1))
        value.backward()
        optimizer.step()
        return value

    return step


class Norm(nn.Module):
    """Batch norm of rows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(tt.ones(width)), nn.Parameter(tt.zeros(width))
        self.register_buffer("mean", tt.zeros(width))
        self.register_buffer("variance", tt.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.weight, self.bias, self.mean, self.variance, self.training)


# ---------------------------------------------------------------- whole steps

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: SGD(p, lr=0.1),
    "weight decay": lambda p: SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: Adam(p, lr=0.01, weight_decay=0.01),
    "adamw": lambda p: AdamW(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("keep", [True, False])
def test_steps_of_every_optimizer(name: str, keep: bool, runs: Runs) -> None:
    a, b = mlp(), mlp()
    eager = step_of(a, OPTIMIZERS[name](list(a.parameters())))
    step = tt.compile(step_of(b, OPTIMIZERS[name](list(b.parameters()))), keep_grads=keep)
    for seed in range(8):
        close(step(*batch(seed)), eager(*batch(seed)))
        same_state(b, a)
        if keep:
            same_gradients(b, a)
    assert len(runs) >= 6
    if not keep:
        assert all(p.grad is None for p in b.parameters())


@pytest.mark.parametrize(
    "build",
    [
        lambda: CNN(image_size=8, generator=tt.Generator(1)),
        lambda: GPT(20, 8, 16, 1, 2, generator=tt.Generator(1)),
    ],
)
def test_steps_of_whole_models(build: Any, runs: Runs) -> None:
    a, b = build(), build()
    eager, step = (step_of(a, Adam(a.parameters()))), tt.compile(step_of(b, Adam(b.parameters())))
    for seed in range(5):
        x = a.example_input
        y = Tensor(
            np.random.default_rng(seed).integers(0, 10, x.shape if isinstance(a, GPT) else x.shape[:1])
        )
        close(step(x, y), eager(x, y), 1e-4)
        same_state(b, a, 1e-4)
    assert len(runs) == 3


@pytest.mark.parametrize("schedule", [lambda o: StepLR(o, 2, 0.5), lambda o: CosineWithWarmup(o, 2, 8)])
def test_a_schedule_between_calls(schedule: Any, runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = SGD(a.parameters(), lr=0.5, momentum=0.9), SGD(b.parameters(), lr=0.5, momentum=0.9)
    sa, sb = schedule(oa), schedule(ob)
    eager, step = step_of(a, oa), tt.compile(step_of(b, ob))
    for seed in range(8):
        close(step(*batch(seed)), eager(*batch(seed)))
        sa.step()
        sb.step()
        same_state(b, a)
    assert len(runs) == 6


def test_groups_and_options_that_change(runs: Runs) -> None:
    a, b = mlp(), mlp()

    def groups(model: MLP) -> Any:
        first, last = model.layers[0], model.layers[2]
        return [
            {"params": first.parameters(), "lr": 0.01},
            {"params": last.parameters(), "weight_decay": 0.1},
        ]

    oa, ob = SGD(groups(a), lr=0.2, momentum=0.5), SGD(groups(b), lr=0.2, momentum=0.5)
    eager, step = step_of(a, oa), tt.compile(step_of(b, ob))
    for seed in range(12):
        for optimizer in (oa, ob):
            if seed == 4:
                optimizer.param_groups[0]["weight_decay"] = 0.5
            if seed == 7:
                optimizer.param_groups[1]["momentum"] = 0.0
            if seed == 9:
                optimizer.param_groups[0]["lr"].assign_(0.3)
        close(step(*batch(seed)), eager(*batch(seed)))
        same_state(b, a)
    assert len(runs) >= 5


def test_state_that_is_loaded_between_calls(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = Adam(a.parameters()), Adam(b.parameters())
    eager, step = step_of(a, oa), tt.compile(step_of(b, ob))
    for seed in range(4):
        eager(*batch(seed))
    for seed in range(4, 7):
        step(*batch(seed))
    ob.load_state_dict(oa.state_dict())
    b.load_state_dict(a.state_dict())
    for seed in range(7, 12):
        close(step(*batch(seed)), eager(*batch(seed)))
        same_state(b, a)
        assert ob.state[b.layers[0].weight]["step"].item() == oa.state[a.layers[0].weight]["step"].item()


def test_layers_that_join_and_leave_training(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = SGD(a.layers[2].parameters(), lr=0.1), SGD(b.layers[2].parameters(), lr=0.1)
    eager, step = step_of(a, oa), tt.compile(step_of(b, ob), keep_grads=True)
    for seed in range(14):
        for model, optimizer in ((a, oa), (b, ob)):
            if seed == 4:
                optimizer.add_param_group({"params": model.layers[0].parameters(), "lr": 0.01})
            if seed == 8:
                model.layers[0].weight.requires_grad_(False)
                model.layers[0].weight.grad = None
            if seed == 11:
                model.layers[0].weight.requires_grad_(True)
        close(step(*batch(seed)), eager(*batch(seed)))
        same_state(b, a)
        same_gradients(b, a)
    assert len(runs) >= 4


def test_a_parameter_that_is_not_reached_stays_without_a_gradient(runs: Runs) -> None:
    def build() -> tuple[nn.Module, Any]:
        model = nn.ModuleList([nn.Linear(5, 3, generator=tt.Generator(i)) for i in range(2)])
        return model, SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)

    (a, oa), (b, ob) = build(), build()

    def make(model: Any, optimizer: Any) -> Any:
        loss = nn.CrossEntropyLoss()

        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            value = loss(model[0](x), y)
            value.backward()
            optimizer.step()
            return value

        return step

    eager, step = make(a, oa), tt.compile(make(b, ob))
    for seed in range(6):
        close(step(*batch(seed)), eager(*batch(seed)))
        same_state(b, a)
        if seed == 3:  # a gradient from elsewhere, which zero_grad must forget
            for model in (a, b):
                model[1](random(2, 5)).sum().backward()
    assert len(runs) >= 3
    assert all(p.grad is None for p in b[1].parameters())


# ---------------------------------------------------------------- when gradients are forgotten


def test_a_step_without_zero_grad(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = SGD(a.parameters(), lr=0.01, momentum=0.5), SGD(b.parameters(), lr=0.01, momentum=0.5)

    def make(model: Any, optimizer: Any) -> Any:
        def step(x: Tensor) -> Tensor:
            value = (model(x) ** 2).mean()
            value.backward()
            optimizer.step()
            return value

        return step

    eager, step = make(a, oa), tt.compile(make(b, ob))
    for seed in range(8):
        x = random(4, 5, seed=seed)
        close(step(x), eager(x))
        same_state(b, a)
        same_gradients(b, a)
        if seed == 5:
            oa.zero_grad()
            ob.zero_grad()
    assert len(runs) >= 4


def test_gradients_that_accumulate_over_small_batches(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = Adam(a.parameters()), Adam(b.parameters())

    def make(model: Any) -> Any:
        def accumulate(x: Tensor) -> Tensor:
            value = (model(x) ** 2).mean()
            value.backward()
            return value

        return accumulate

    eager, accumulate = make(a), tt.compile(make(b))
    update = tt.compile(ob.step)
    for seed in range(16):
        x = random(4, 5, seed=seed)
        close(accumulate(x), eager(x))
        same_gradients(b, a)
        if seed % 4 == 3:
            update()
            oa.step()
            same_state(b, a)
            oa.zero_grad()
            ob.zero_grad()
    assert len(runs) >= 10


def test_zero_grad_at_the_end(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = SGD(a.parameters(), lr=0.1), SGD(b.parameters(), lr=0.1)

    def make(model: Any, optimizer: Any) -> Any:
        def step(x: Tensor) -> Tensor:
            value = (model(x) ** 2).mean()
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            return value

        return step

    eager, step = make(a, oa), tt.compile(make(b, ob))
    for seed in range(8):
        x = random(4, 5, seed=seed)
        if seed in (3, 6):  # gradients that are there already count
            a(x).sum().backward()
            b(x).sum().backward()
        close(step(x), eager(x))
        same_state(b, a)
        same_gradients(b, a)
    assert len(runs) >= 4


def test_the_step_first(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = (
        SGD(a.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
        SGD(b.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
    )

    def make(model: Any, optimizer: Any) -> Any:
        def step(x: Tensor) -> Tensor:
            optimizer.step()
            optimizer.zero_grad()
            value = (model(x) ** 2).mean()
            value.backward()
            return value

        return step

    eager, step = make(a, oa), tt.compile(make(b, ob))
    for seed in range(8):
        x = random(4, 5, seed=seed)
        close(step(x), eager(x))
        same_state(b, a)
        same_gradients(b, a)
    assert len(runs) >= 4


def test_optimizer_step_alone(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = Adam(a.parameters()), Adam(b.parameters())
    fast = tt.compile(ob.step)
    fast()  # without gradients it does nothing
    same_state(b, a)
    for seed in range(6):
        x = random(4, 5, seed=seed)
        for model in (a, b):
            model.zero_grad()
            model(x).sum().backward()
        oa.step()
        fast()
        same_state(b, a)
        same_gradients(b, a)
    assert len(runs) >= 3


def test_clipping_in_the_step(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = SGD(a.parameters(), lr=0.5), SGD(b.parameters(), lr=0.5)

    def make(model: Any, optimizer: Any) -> Any:
        def step(x: Tensor) -> Tensor:
            optimizer.zero_grad()
            value = (model(x) ** 2).sum()
            value.backward()
            clip_grad_norm(model.parameters(), 0.5)
            optimizer.step()
            return value

        return step

    eager, step = make(a, oa), tt.compile(make(b, ob))
    for seed in range(5):
        x = random(4, 5, seed=seed)
        close(step(x), eager(x))
        same_state(b, a)
    assert len(runs) == 3 or any("globalnorm" in reason for reason in step.reasons)


def test_a_step_that_returns_several_things(runs: Runs) -> None:
    a, b = mlp(), mlp()
    oa, ob = SGD(a.parameters(), lr=0.1), SGD(b.parameters(), lr=0.1)

    def make(model: Any, optimizer: Any) -> Any:
        loss = nn.CrossEntropyLoss()

        def step(x: Tensor, y: Tensor) -> Any:
            optimizer.zero_grad()
            logits = model(x)
            value = loss(logits, y)
            value.backward()
            optimizer.step()
            right = (logits.argmax(-1) == y).to("float32").mean()
            return {
                "loss": value,
                "logits": logits.detach(),
                "more": (right, tt.softmax(logits.detach(), -1), 3),
            }

        return step

    eager, step = make(a, oa), tt.compile(make(b, ob))
    for seed in range(5):
        got, want = step(*batch(seed)), eager(*batch(seed))
        close(got, want)
        assert got["more"][2] == 3
    assert len(runs) == 3


def test_a_gradient_of_an_argument_inside_the_step(runs: Runs) -> None:
    model = mlp()

    def attack(x: Tensor) -> Tensor:
        x.grad = None
        model(x).sum().backward()
        assert x.grad is not None
        with tt.no_grad():
            return x + x.grad.sign() * 0.1

    fast = tt.compile(attack)
    for seed in range(5):
        x, y = random(4, 5, seed=seed).requires_grad_(), random(4, 5, seed=seed).requires_grad_()
        for p in model.parameters():
            p.grad = None
        want = attack(x)
        for p in model.parameters():
            p.grad = None
        close(fast(y), want)
        assert x.grad is not None
        assert y.grad is not None
        close(y.grad, x.grad)


def test_a_weight_as_an_argument_of_a_step() -> None:
    weight = nn.Parameter(random(3))

    def step(x: Tensor) -> Tensor:
        x.grad = weight.grad = None
        (x * x * weight).sum().backward()
        return x.detach() * 2.0

    fast = tt.compile(step)
    other = random(3, seed=1).requires_grad_()
    for x in (other, other, other, weight, weight, weight, other, weight):
        step(x)
        want = [t.grad for t in (x, weight)]
        close(fast(x), x * 2.0)
        close([x.grad, weight.grad], want)


def test_an_argument_of_a_step_given_twice() -> None:
    def step(x: Tensor, y: Tensor) -> None:
        x.grad = y.grad = None
        (x * x * y).sum().backward()

    fast = tt.compile(step)
    a, b = random(3).requires_grad_(), random(3, seed=1).requires_grad_()
    for x, y in ((a, b), (a, b), (b, a), (a, a), (b, b), (a, a), (a, b)):
        step(x, y)
        want = [x.grad, y.grad]
        fast(x, y)
        close([x.grad, y.grad], want)


def test_two_optimizers_in_turn(runs: Runs) -> None:
    def build() -> tuple[Any, ...]:
        maker, judge = nn.Linear(3, 5, generator=tt.Generator(1)), nn.Linear(5, 1, generator=tt.Generator(2))
        return maker, judge, Adam(maker.parameters()), Adam(judge.parameters())

    def make(maker: Any, judge: Any, first: Any, second: Any) -> Any:
        def step(z: Tensor, x: Tensor) -> Any:
            second.zero_grad()
            judged = (judge(maker(z).detach()) ** 2).mean() - judge(x).mean()
            judged.backward()
            second.step()
            first.zero_grad()
            fooled = -judge(maker(z)).mean()
            fooled.backward()
            first.step()
            return judged, fooled

        return step

    a, b = build(), build()
    eager, step = make(*a), tt.compile(make(*b))
    for seed in range(7):
        z, x = random(4, 3, seed=seed), random(4, 5, seed=seed + 50)
        close(step(z, x), eager(z, x))
        same_state(b[0], a[0])
        same_state(b[1], a[1])
        if seed > 1:  # what the first backward leaves in the judge is added to by the second
            same_gradients(b[1], a[1]) if b[1].weight.grad is not None else None
    assert len(runs) >= 4


def test_training_and_evaluation_in_turn(runs: Runs) -> None:
    def build() -> Any:
        return nn.Sequential(
            nn.Linear(5, 6, generator=tt.Generator(1)),
            Norm(6),
            nn.ReLU(),
            nn.Linear(6, 3, generator=tt.Generator(2)),
        )

    a, b = build(), build()
    eager = step_of(a, SGD(a.parameters(), lr=0.1))
    step, evaluate = tt.compile(step_of(b, SGD(b.parameters(), lr=0.1))), tt.compile(b)
    for seed in range(6):
        a.train()
        b.train()
        close(step(*batch(seed)), eager(*batch(seed)))
        a.eval()
        b.eval()
        with tt.no_grad():
            close(evaluate(batch(seed)[0]), a(batch(seed)[0]))
        same_state(b, a)
    assert len(runs) == 4 + 5


# ---------------------------------------------------------------- gradients through a compiled forward pass


def test_a_loss_outside(runs: Runs) -> None:
    a, b = mlp(), mlp()
    fast = tt.compile(b)
    oa, ob = SGD(a.parameters(), lr=0.1), SGD(b.parameters(), lr=0.1)
    loss = nn.CrossEntropyLoss()
    for seed in range(5):
        x, y = batch(seed)
        for call, optimizer in ((a, oa), (fast, ob)):
            optimizer.zero_grad()
            loss(call(x), y).backward()
            optimizer.step()
        same_gradients(b, a)
        same_state(b, a)
    assert len(runs) == 4


def test_views_are_not_handed_from_forward_to_backward(runs: Runs) -> None:
    weight = nn.Parameter(random(6, 2))
    fast = tt.compile(lambda x: (x.reshape(-1, 6)[1:].exp() @ weight.T.T).sum() + (x[0] * weight[0, 0]).sum())
    for seed in range(3):
        found = []
        for call in (fast.function, fast):
            weight.grad = None
            x = random(4, 3, 2, seed=seed).requires_grad_()
            call(x).backward()
            found.append([x.grad, weight.grad])
        close(found[1], found[0], 1e-4)
    assert len(fast.graph.outputs) == 2  # the result, and what exp made
    assert len(runs) == 2


def test_gradients_add_up_over_calls_and_backwards(runs: Runs) -> None:
    a, b = mlp(), mlp()
    fast = tt.compile(b)
    for seed in range(3):
        x, y = random(2, 5, seed=seed).requires_grad_(), random(2, 5, seed=seed).requires_grad_()
        for call, given in ((a, x), (fast, y)):
            out = call(given) * call(given * 2.0)
            out.sum().backward(retain_graph=True)
            (out * 3.0).sum().backward()
            with pytest.raises(GradientError, match="retain_graph"):
                out.sum().backward()
        same_gradients(b, a)
        assert x.grad is not None
        assert y.grad is not None
        close(y.grad, x.grad)


def test_arguments_with_a_graph_of_their_own(runs: Runs) -> None:
    first = nn.Linear(4, 5, generator=tt.Generator(3))
    model = mlp()
    fast = tt.compile(model)
    mixed = tt.compile(lambda h, w: h * w.sum() + (h @ model.layers[0].weight.T).sum())
    for seed in range(4):
        found = []
        for call, other in ((model, mixed.function), (fast, mixed)):
            for p in (*first.parameters(), *model.parameters()):
                p.grad = None
            x = random(3, 4, seed=seed).requires_grad_()
            h = first(x).tanh()
            out = call(h).sum() + other(h, model.layers[0].weight).sum()
            out.backward()
            found.append([out, x.grad, *(p.grad for p in (*first.parameters(), *model.parameters()))])
        close(found[1], found[0], 1e-4)
    assert len(runs) == 6


def test_grad_of_some_inputs(runs: Runs) -> None:
    model = mlp()
    fast = tt.compile(lambda x, y, n: (model(x) * y, x.sum() * n))
    for seed in range(3):
        x, y = random(2, 5, seed=seed).requires_grad_(), random(3, seed=seed).requires_grad_()
        n = Tensor(np.array(seed))
        outs, wants = fast(x, y, n), (model(x) * y, x.sum() * n)
        for pick in ([x], [y], [x, y, model.layers[0].bias]):
            got = tt.grad(outs[0].sum() + outs[1], pick, retain_graph=True)
            want = tt.grad(wants[0].sum() + wants[1], pick, retain_graph=True)
            close(got, want)
        assert tt.grad(outs[1], [y], retain_graph=True)[0] is None or not tt.grad(outs[1], [y])[0].data.any()
    assert len(runs) == 2


def test_outputs_without_gradients_among_others(runs: Runs) -> None:
    model = mlp()

    def function(x: Tensor) -> Any:
        out = model(x)
        return out.argmax(-1), out, {"no": out.detach(), "yes": [out.to("float64").sum(), x]}, out.exp().T

    fast = tt.compile(function)
    for seed in range(3):
        grads = []
        for call in (function, fast):
            x = random(2, 5, seed=seed).requires_grad_()
            for p in model.parameters():
                p.grad = None
            ids, out, named, wide = call(x)
            assert not ids.requires_grad
            assert not named["no"].requires_grad
            assert out.requires_grad
            assert wide.requires_grad
            assert named["yes"][0].dtype == np.float64
            assert named["yes"][1] is x
            (out.sum() + named["yes"][0] * 2.0 + (wide * wide).sum()).backward()
            grads.append([x.grad, *(p.grad for p in model.parameters())])
        close(grads[1], grads[0], 1e-4)
    assert len(runs) == 2


def test_one_of_several_outputs_is_enough(runs: Runs) -> None:
    weight = nn.Parameter(random(3))
    other = nn.Parameter(random(3, seed=1))
    fast = tt.compile(lambda x: ((x * weight).sum(), (x * other).exp()))
    for _ in range(3):
        weight.grad = other.grad = None
        x = random(3, seed=2)
        fast(x)[1].sum().backward()
        got = other.grad
        assert got is not None
        other.grad = None
        (x * other).exp().sum().backward()
        close(got, other.grad)


def test_frozen_and_thawed_parameters(runs: Runs) -> None:
    a, b = mlp(), mlp()
    fast = tt.compile(b)
    for seed in range(9):
        for model in (a, b):
            model.zero_grad()
            model.layers[0].weight.requires_grad_(seed % 3 == 2)
            model.layers[2].bias.requires_grad_(seed % 2 == 0)
        x = random(2, 5, seed=seed)
        a(x).sum().backward()
        fast(x).sum().backward()
        same_gradients(b, a)
    for p in b.parameters():
        p.requires_grad_(False)
    for _ in range(3):
        assert not fast(random(2, 5)).requires_grad


def test_inputs_that_want_a_gradient_or_not(runs: Runs) -> None:
    fast = tt.compile(lambda x, y: (x * y).tanh())
    for seed in range(3):
        for wants in ((True, False), (False, True), (True, True), (False, False)):
            pairs = [(random(3, seed=seed), random(3, seed=seed + 9)) for _ in range(2)]
            for pair in pairs:
                for t, want in zip(pair, wants, strict=True):
                    t.requires_grad_(want)
            got, want_out = fast(*pairs[0]), (pairs[1][0] * pairs[1][1]).tanh()
            close(got, want_out)
            assert got.requires_grad == any(wants)
            if any(wants):
                got.sum().backward()
                want_out.sum().backward()
            for t, u in zip(*pairs, strict=True):
                assert (t.grad is None) == (u.grad is None)
                if t.grad is not None:
                    close(t.grad, u.grad)


def test_create_graph_says_what_to_do() -> None:
    fast = tt.compile(lambda x: (x**3).sum())
    x = Tensor([1.0, 2.0], requires_grad=True)
    fast(x)
    for _ in range(2):
        with pytest.raises(GradientError, match="create_graph needs ops"):
            tt.grad(fast(x), [x], create_graph=True)
    inside = tt.compile(lambda x: tt.grad((x**3).sum(), [x], create_graph=True)[0])
    for _ in range(3):
        x = Tensor([1.0, 2.0], requires_grad=True)
        out = inside(x)
        out.sum().backward()
        assert x.grad is not None
        close(x.grad, Tensor([6.0, 12.0]))


def test_weights_changed_between_forward_and_backward() -> None:
    model = mlp()
    fast = tt.compile(model)
    x = random(2, 5)
    for _ in range(3):
        out = fast(x)
        with tt.no_grad():
            model.layers[2].weight.assign_(model.layers[2].weight * 1.1)
        with pytest.raises(GradientError, match="assign_"):
            out.sum().backward()
    for _ in range(3):  # a bias is not read by backward
        out = fast(x)
        with tt.no_grad():
            model.layers[2].bias.assign_(1.0)
        out.sum().backward()


def test_no_grad_around_and_inside(runs: Runs) -> None:
    model = mlp()

    def function(x: Tensor) -> Any:
        with tt.no_grad():
            scale = model(x).abs().mean()
        with tt.enable_grad():
            return model(x) * scale

    fast = tt.compile(function)
    for seed in range(3):
        x = random(2, 5, seed=seed)
        for context in (tt.no_grad, tt.enable_grad):
            with context():
                got, want = fast(x), function(x)
            close(got, want)
            assert got.requires_grad
            assert want.requires_grad
            grads = []
            for out in (got, want):
                model.zero_grad()
                out.sum().backward()
                grads.append([p.grad for p in model.parameters()])
            close(*grads)
    assert len(runs) == 4


def test_two_gradients_do_not_share_memory(runs: Runs) -> None:
    fast = tt.compile(lambda x, y: (x + y).sum())
    for _ in range(3):
        x, y = tt.ones(3, requires_grad=True), tt.ones(3, requires_grad=True)
        fast(x, y).backward()
        assert x.grad is not None
        assert y.grad is not None
        x.grad.assign_(7.0)
        assert y.grad.tolist() == [1.0, 1.0, 1.0]
