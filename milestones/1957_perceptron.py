"""1957, the perceptron: one neuron learns from its mistakes to tell a 4 from a 9.

Frank Rosenblatt, "The perceptron: a perceiving and recognizing automaton", Cornell Aeronautical Laboratory,
1957. There is no gradient here. The neuron looks at one digit at a time and says yes (a 9) or no (a 4). If it
is right, nothing changes. If it is wrong, the digit is added to the weights where the answer should have been
yes, and taken off where it should have been no. Where a plane separates the two classes this ends after
finitely many mistakes (Novikoff, "On convergence proofs for perceptrons", 1962); for our 4s and 9s one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

import tinytorch as tt
from tinytorch import console, nn
from tinytorch.data import load
from tinytorch.learn.drawing import beside, shades, titled
from tinytorch.learn.experiment import run

LESSON = 4
GOALS = {"accuracy on test digits": (">=", 0.98)}

NO, YES = 4, 9
PASSES = 100  # over the training digits, at most


@dataclass
class Trained:
    """What one run leaves to look at."""

    weights: np.ndarray  # (8, 8)
    mistakes: list[int]  # in each pass over the training digits
    scores: np.ndarray  # of the test digits: above 0 is "yes"
    answers: np.ndarray  # what they are


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images of both classes, (count, 64), and whether each is a YES."""
    data = load("digits", split)
    chosen = np.isin(data.labels, (NO, YES))
    return data.images[chosen].reshape(-1, 64), data.labels[chosen] == YES


def learn(neuron: nn.Linear, images: np.ndarray, answers: np.ndarray, seed: int) -> list[int]:
    """Show the digits, one at a time in random order, until a whole pass is without a mistake."""
    order = np.random.default_rng(seed)
    mistakes: list[int] = []
    with tt.no_grad():
        while len(mistakes) < PASSES and 0 not in mistakes:
            wrong = 0
            for i in order.permutation(len(images)):
                x = tt.Tensor(images[i : i + 1])
                if (neuron(x).item() > 0) != answers[i]:
                    direction = 1.0 if answers[i] else -1.0
                    neuron.weight.assign_(neuron.weight + x * direction)
                    neuron.bias.assign_(neuron.bias + direction)
                    wrong += 1
            mistakes.append(wrong)
    return mistakes


def trial(seed: int) -> tuple[dict[str, float], Trained]:
    """Train one neuron, then ask it about digits that it has never seen."""
    tt.manual_seed(seed)
    neuron = nn.Linear(64, 1)
    mistakes = learn(neuron, *digits("train"), seed)
    images, answers = digits("test")
    with tt.no_grad():
        scores = neuron(tt.Tensor(images)).numpy()[:, 0]
    accuracy = float(np.mean((scores > 0) == answers))
    return {"accuracy on test digits": accuracy}, Trained(
        neuron.weight.numpy().reshape(8, 8), mistakes, scores, answers
    )


def draw(runs: Sequence[Trained]) -> Figure:
    """The first run: two digits, the weights that tell them apart, and how each test digit scored."""
    first = runs[0]
    images, answers = digits("test")
    four, nine = images[~answers][0].reshape(8, 8), images[answers][0].reshape(8, 8)
    console.say(f"mistakes in each pass: {first.mistakes}")
    console.say()
    pictures = beside(
        titled(f"no: a {NO}", shades(four, 0, 1)),
        titled(f"yes: a {YES}", shades(nine, 0, 1)),
        titled("ink here says yes", shades(first.weights)),
    )
    console.say("\n".join(pictures))
    console.say()
    edge = np.abs(first.scores).max()
    edges = np.linspace(-edge, edge, 41)
    counts = [np.histogram(first.scores[first.answers == kind], edges)[0] for kind in (False, True)]
    console.say("test digits by score, from a sure no to a sure yes")
    for name, line in zip((NO, YES), shades(np.stack(counts), wide=1), strict=True):
        console.say(f"{name}  {line[:20]}|{line[20:]}".rstrip())

    figure = Figure(figsize=(10, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.imshow(np.hstack([four, np.zeros((8, 1)), nine]), cmap="gray_r")
    left.set(title=f"a {NO} and a {YES}", xticks=[], yticks=[])
    most = np.abs(first.weights).max()
    shown = middle.imshow(first.weights, cmap="coolwarm", vmin=-most, vmax=most)
    figure.colorbar(shown, ax=middle)
    middle.set(title="the weights: red says yes", xticks=[], yticks=[])
    for kind, name in ((False, NO), (True, YES)):
        right.hist(first.scores[first.answers == kind], edges, label=f"a {name}", alpha=0.7)
    right.axvline(0, color="black")
    right.set(title="test digits", xlabel="score (above 0: yes)", ylabel="digits")
    right.legend()
    return figure


if __name__ == "__main__":
    run(trial, draw, GOALS)
