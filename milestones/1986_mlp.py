"""1986, the multilayer perceptron: back-propagation finds the features by itself.

David Rumelhart, Geoffrey Hinton and Ronald Williams, "Learning representations by back-propagating errors",
Nature 323, 1986, sent the error of the output backwards through the layers, so that hidden neurons come to
stand for whatever helps. Here 128 of them read all ten digits: 9,610 weights, trained by the loop of lesson
08. Validation digits decide which weights are kept; the test digits are looked at once, at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

import tinytorch as tt
from tinytorch import console, nn, optim
from tinytorch.data import DataLoader, load
from tinytorch.learn.drawing import beside, shades, titled
from tinytorch.learn.experiment import predictions, run
from tinytorch.training import Accuracy, Trainer

LESSON = 8
GOALS = {"accuracy on test digits": (">=", 0.965)}

EPOCHS, BATCH = 30, 32


@dataclass
class Trained:
    """What one run leaves to look at."""

    losses: list[float]  # after each step
    validation: list[float]  # accuracy after each epoch
    predicted: np.ndarray  # class of each test digit
    features: np.ndarray  # weights of the hidden neurons, (128, 8, 8)


def train(model: nn.Module, seed: int) -> tuple[list[float], list[float]]:
    """Train; the loss after each step, and the accuracy on validation digits after each epoch."""
    batches = DataLoader(load("digits", "train"), BATCH, shuffle=True, seed=seed)
    optimizer = optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
    trainer = Trainer(
        model,
        optimizer,
        nn.CrossEntropyLoss(label_smoothing=0.1),
        schedule=optim.CosineWithWarmup(optimizer, 20, EPOCHS * len(batches), 0.01),
        metrics=[Accuracy()],
        keep_best="accuracy",
        description="digits",
    )
    history = trainer.fit(batches, EPOCHS, validation=DataLoader(load("digits", "validation"), 200))
    return history.losses, [entry["accuracy"] for entry in history.validation]


def trial(seed: int) -> tuple[dict[str, float], Trained]:
    """Train one network, then ask it about digits that it has never seen."""
    tt.manual_seed(seed)
    hidden = nn.Linear(64, 128)
    model = nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(128, 10))
    losses, validation = train(model, seed)
    test = load("digits", "test")
    predicted = predictions(model, test.images)
    accuracy = float(np.mean(predicted == test.labels))
    features = hidden.weight.numpy().reshape(128, 8, 8)
    return {"accuracy on test digits": accuracy}, Trained(losses, validation, predicted, features)


def draw(runs: Sequence[Trained]) -> Figure:
    """How the runs learned, and what the first one mistook for something else."""
    test = load("digits", "test")
    for number, trained in enumerate(runs):
        loss, validation = (console.spark(curve, 16) for curve in (trained.losses, trained.validation))
        console.say(f"run {number}  loss {loss}  validation {validation}")
    first = runs[0]
    missed = np.flatnonzero(first.predicted != test.labels)
    console.say(f"\nmisread: {len(missed)} of {len(test)} test digits, such as")
    console.say("\n".join(beside(*(misread(test, i, first.predicted[i]) for i in missed[:3]))))

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    curves, table, neurons = figure.subplots(1, 3)
    for number, trained in enumerate(runs):
        curves.plot(1 - np.array(trained.validation), label=f"run {number}")
    curves.set(title="errors on validation digits", xlabel="epoch", ylim=(0, 0.2))
    curves.legend()
    table.imshow(np.log1p(confusion(test.labels, first.predicted)), cmap="Blues")
    table.set(title="read as", ylabel="digit", xticks=range(10), yticks=range(10))
    strongest = np.argsort(-np.abs(first.features).sum((1, 2)))[:16]
    tiles = np.pad(first.features[strongest], ((0, 0), (1, 1), (1, 1))).reshape(4, 4, 10, 10)
    neurons.imshow(tiles.transpose(0, 2, 1, 3).reshape(40, 40), cmap="coolwarm")
    neurons.set(title="16 hidden neurons: their weights", xticks=[], yticks=[])
    return figure


def misread(test: object, index: int, predicted: int) -> list[str]:
    """One digit in characters, under what it is and what it was taken for."""
    return titled(f"a {test.labels[index]}, read as {predicted}", shades(test.images[index, 0], 0, 1))


def confusion(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """How often each digit (row) was read as each (column)."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


if __name__ == "__main__":
    run(trial, draw, GOALS)
