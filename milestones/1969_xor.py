"""1969, XOR: what one layer cannot learn, and what a hidden layer adds.

Marvin Minsky and Seymour Papert, "Perceptrons", MIT Press, 1969, asked what a perceptron can compute at all.
Two bits, and the question whether they differ: no straight line has (0, 1) and (1, 0) on one side and (0, 0)
and (1, 1) on the other, so a single layer is wrong about at least one of the four. A hidden layer bends the
plane first. How to train one was settled later: by the gradient of a loss, as lessons 05 to 07 build it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

import tinytorch as tt
from tinytorch import console, nn, optim
from tinytorch.learn.drawing import beside, shades, titled
from tinytorch.learn.experiment import run

LESSON = 7
GOALS = {
    "one layer: share of four points": ("<=", 0.75),
    "hidden layer: share of four points": (">=", 1.0),
}

POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
DIFFER = np.array([[0], [1], [1], [0]], np.float32)
STEPS = 400


@dataclass
class Trained:
    """A model after training: how its loss fell, and what it says all over the plane."""

    losses: list[float]
    plane: np.ndarray  # probability that the bits differ; rows from top to bottom


def train(model: nn.Module) -> list[float]:
    """Follow the gradient of the loss on the four points; the loss after each step."""
    loss_of, optimizer = nn.BCEWithLogitsLoss(), optim.Adam(model.parameters(), lr=0.05)
    points, differ = tt.Tensor(POINTS), tt.Tensor(DIFFER)
    losses = []
    for _ in range(STEPS):
        loss = loss_of(model(points), differ)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def plane(model: nn.Module, rows: int = 49) -> np.ndarray:
    """What the model says on a grid over the square from -0.25 to 1.25."""
    ticks = np.linspace(-0.25, 1.25, rows, dtype=np.float32)
    across, up = np.meshgrid(ticks, ticks[::-1])
    grid = np.stack([across.ravel(), up.ravel()], axis=1)
    with tt.no_grad():
        logits = model(tt.Tensor(grid)).numpy().astype(np.float64)
    return (1 / (1 + np.exp(-logits))).reshape(rows, rows)


def share(model: nn.Module) -> float:
    """The share of the four points that the model is right about."""
    with tt.no_grad():
        logits = model(tt.Tensor(POINTS)).numpy()
    return float(np.mean((logits > 0) == (DIFFER == 1)))


def trial(seed: int) -> tuple[dict[str, float], list[Trained]]:
    """Train a single layer and a network with eight hidden neurons."""
    tt.manual_seed(seed)
    models = [nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))]
    trained = [Trained(train(model), plane(model)) for model in models]
    return dict(zip(GOALS, map(share, models), strict=True)), trained


def draw(runs: Sequence[list[Trained]]) -> Figure:
    """The first run: the plane as each of both models sees it, and how the losses fell."""
    names = ("one layer", "with a hidden layer")
    for name, trained in zip(names, runs[0], strict=True):
        console.say(f"{name:20} loss {console.spark(trained.losses, 24)} {trained.losses[-1]:.4f}")
    console.say()
    console.say("darker: surer that the bits differ; 0, 1: the answers")
    console.say(
        "\n".join(
            beside(*(titled(n, marked(t.plane[::4, ::4])) for n, t in zip(names, runs[0], strict=True)))
        )
    )

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    *planes, losses = figure.subplots(1, 3)
    for axes, name, trained in zip(planes, names, runs[0], strict=True):
        axes.imshow(
            trained.plane, cmap="coolwarm", vmin=0, vmax=1, extent=(-0.25, 1.25) * 2, interpolation="bilinear"
        )
        axes.scatter(*POINTS.T, c=DIFFER[:, 0], cmap="coolwarm", edgecolors="black", s=90)
        axes.set(title=name, xlabel="first bit", ylabel="second bit", xticks=[0, 1], yticks=[0, 1])
        losses.plot(trained.losses, label=name)
    losses.axhline(np.log(2), color="grey", linestyle=":", label="guessing")
    losses.set(title="loss", xlabel="step", ylim=(0, None))
    losses.legend()
    return figure


def marked(probabilities: np.ndarray) -> list[str]:
    """The plane as characters, with the answer of each of the four points at its place."""
    lines = [list(line) for line in shades(probabilities, 0, 1)]
    low, high = 2, len(lines) - 3  # of 13 ticks from -0.25 to 1.25, those at 0 and 1
    for (across, up), (differ,) in zip(POINTS, DIFFER, strict=True):
        row, column = (low if up else high), 2 * (high if across else low)
        lines[row][column - 1 : column + 3] = f" {differ:.0f}  "
    return ["".join(line) for line in lines]


if __name__ == "__main__":
    run(trial, draw, GOALS)
