"""A training step on a batch that stays the same, whole and in the parts that can be compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from tinytorch import models
from tinytorch.acceleration.compiled import Compiled, compile
from tinytorch.autograd import no_grad
from tinytorch.models.registry import Model
from tinytorch.ops.spec import float32
from tinytorch.optim import Optimizer, clip_grad_norm
from tinytorch.profiling.trace import filed_under
from tinytorch.random import Generator
from tinytorch.tensor import Tensor
from tinytorch.training import next_token_loss
from tinytorch.training.recipes import Recipe, optimizer_for


@dataclass(frozen=True)
class Step:
    """A model in training, its optimizer, and a batch. The batch is random: its values change no cost."""

    model: Model
    optimizer: Optimizer
    x: Tensor
    labels: Tensor
    clip: float | None

    @classmethod
    def of(cls, trained: Model, name: str, recipe: Recipe) -> Step:
        """A step by a copy of the model; each call gives one with the same weights and the same batch."""
        twin = models.build(name, **trained.config())
        twin.load_state_dict(trained.state_dict())
        twin.train()
        example, generator = twin.example_input, Generator(0)
        assert example is not None
        shape = (recipe.batch, *example.shape[1:])
        with no_grad():
            classes = twin(example).shape[-1]
        if example.dtype == float32:
            x, labels = generator.rand(*shape), generator.randint(0, classes, shape[:1])
        else:
            x, labels = generator.randint(0, classes, shape), generator.randint(0, classes, shape)
        return cls(twin, optimizer_for(twin, recipe), x, labels, recipe.clip)

    def run(self) -> None:
        """The step, op by op."""
        take_step(self.model, self.optimizer, self.x, self.labels, self.clip)

    def compiled(self) -> tuple[Callable[[], None], tuple[Compiled, ...]]:
        """The step as programs, and these: one, or where gradients are clipped two.

        `clip_grad_norm` refuses gradients that are not finite, for which Python must see their norm. So it
        stands between two programs: one that makes the gradients, and one that changes the weights.
        """
        if self.clip is None:
            whole = compile(functools.partial(take_step, self.model, self.optimizer))
            return lambda: whole(self.x, self.labels), (whole,)
        first = compile(functools.partial(find_gradients, self.model, self.optimizer))
        last = compile(functools.partial(change_weights, self.optimizer))
        most = self.clip

        def run() -> None:
            first(self.x, self.labels)
            with filed_under("optimizer"):
                clip_grad_norm(self.model.parameters(), most)
            last()

        return run, (first, last)


# Functions of a module rather than methods: what they work on are arguments, where compile() finds it.


def take_step(
    model: Model, optimizer: Optimizer, x: Tensor, labels: Tensor, clip: float | None = None
) -> None:
    """Forward, loss, backward, update; loss and optimizer are filed under names of their own."""
    find_gradients(model, optimizer, x, labels)
    if clip is not None:
        with filed_under("optimizer"):
            clip_grad_norm(model.parameters(), clip)
    change_weights(optimizer)


def find_gradients(model: Model, optimizer: Optimizer, x: Tensor, labels: Tensor) -> None:
    """Leave the gradients of the loss in the parameters."""
    optimizer.zero_grad()
    logits = model(x)
    with filed_under("loss"):
        loss = next_token_loss(logits, labels)
    loss.backward()


def change_weights(optimizer: Optimizer) -> None:
    """Take the optimizer's step."""
    with filed_under("optimizer"):
        optimizer.step()
