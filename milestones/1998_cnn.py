"""1998, the convolutional network: the same small window at every place of the image.

Yann LeCun, Leon Bottou, Yoshua Bengio and Patrick Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86, 1998. A stroke means the same wherever it lies, so its detector is
learned once and slid over the whole image; pooling then keeps that it was there and forgets where exactly.
Two such layers read digits better than the network of 1986 did, with 6,186 weights in place of 9,610. What is
younger than 1998 here is batch normalisation (Ioffe and Szegedy, 2015): with it, eight passes are enough.
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

LESSON = 10
GOALS = {"accuracy on test digits": (">=", 0.98)}

EPOCHS, BATCH = 8, 32


@dataclass
class Trained:
    """What one run leaves to look at."""

    losses: list[float]  # after each step
    validation: list[float]  # accuracy after each epoch
    windows: np.ndarray  # of the first convolution, (16, 3, 3)
    maps: np.ndarray  # what they find in the first test digit, (16, 8, 8)


class LeNet(nn.Module):
    """Logits from x: (batch, 1, 8, 8); result (batch, 10). Pooling halves the size twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.relu, self.pool, self.flatten = nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        self.head = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x: tt.Tensor) -> tt.Tensor:
        x = self.pool(self.relu(self.norm1(self.conv1(x))))
        x = self.pool(self.relu(self.norm2(self.conv2(x))))
        return self.head(self.flatten(x))


def train(model: nn.Module, seed: int) -> tuple[list[float], list[float]]:
    """Train; the loss after each step, and the accuracy on validation digits after each epoch."""
    batches = DataLoader(load("digits", "train"), BATCH, shuffle=True, seed=seed)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
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
    model = LeNet()
    losses, validation = train(model, seed)
    test = load("digits", "test")
    accuracy = float(np.mean(predictions(model, test.images) == test.labels))
    with tt.no_grad():
        maps = model.relu(model.norm1(model.conv1(tt.Tensor(test.images[:1])))).numpy()[0]
    windows = model.conv1.weight.numpy()[:, 0]
    return {"accuracy on test digits": accuracy}, Trained(losses, validation, windows, maps)


def draw(runs: Sequence[Trained]) -> Figure:
    """How the runs learned, and what three windows of the first one find in a digit."""
    digit = load("digits", "test").images[0, 0]
    for number, trained in enumerate(runs):
        loss, validation = (console.spark(curve, 16) for curve in (trained.losses, trained.validation))
        console.say(f"run {number}  loss {loss}  validation {validation}")
    first = runs[0]
    chosen = np.argsort(-first.maps.std(axis=(1, 2)))[:2]
    found = [titled(f"window {i} finds", shades(first.maps[i], 0)) for i in chosen]
    console.say()
    console.say("\n".join(beside(titled("a test digit", shades(digit, 0, 1)), *found)))

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    curves, windows, maps = figure.subplots(1, 3)
    for number, trained in enumerate(runs):
        curves.plot(1 - np.array(trained.validation), label=f"run {number}")
    curves.set(title="errors on validation digits", xlabel="epoch", ylim=(0, 0.2))
    curves.legend()
    windows.imshow(tiles(first.windows), cmap="coolwarm")
    windows.set(title="the 16 windows of the first layer", xticks=[], yticks=[])
    maps.imshow(tiles(first.maps), cmap="gray_r")
    maps.set(title="what they find in one digit", xticks=[], yticks=[])
    return figure


def tiles(images: np.ndarray) -> np.ndarray:
    """Sixteen images (16, height, width) as one, four by four."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    _, height, width = padded.shape
    return padded.reshape(4, 4, height, width).transpose(0, 2, 1, 3).reshape(4 * height, 4 * width)


if __name__ == "__main__":
    run(trial, draw, GOALS)
