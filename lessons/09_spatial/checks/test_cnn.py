"""The CNN's forward pass, against its layers worked out in NumPy."""

import numpy as np
import pytest
from helpers import Correlation, pooled

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models.cnn import CNN
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

NEEDS = ("Conv2d.forward", "MaxPool2d.forward", "CNN.forward")


def worked_out(model, x):
    """Logits layer by layer, in float64."""
    for conv in (model.conv1, model.conv2):
        x = Correlation((1, 1), (1, 1), (1, 1), 1).forward(x, conv.weight.numpy(), conv.bias.numpy())
        x = pooled(np.maximum(x, 0), (2, 2), (2, 2), (0, 0))[0]
    x = x.reshape(len(x), -1)
    x = np.maximum(x @ model.fc1.weight.numpy().T + model.fc1.bias.numpy(), 0)
    return x @ model.fc2.weight.numpy().T + model.fc2.bias.numpy()


@exercise(*NEEDS)
@pytest.mark.parametrize(
    ("channels", "classes", "side", "batch"), [(1, 10, 8, 3), (3, 4, 7, 2), (2, 5, 4, 1)]
)
def test_logits(rng, channels, classes, side, batch):
    model = CNN(channels, classes, side, generator=Generator(int(rng.integers(1000))))
    images = rng.normal(size=(batch, channels, side, side)).astype(np.float32)
    x = Tensor(images)
    expect.close("model(x)", worked_out(model, images), rtol=1e-3, atol=1e-4)


@exercise(*NEEDS)
def test_logits_may_be_negative(rng):
    model = CNN(image_size=8, generator=Generator(1))
    model.fc2.bias.assign_(-5.0)
    x = Tensor(rng.normal(size=(4, 1, 8, 8)).astype(np.float32))
    expect.true("(model(x).numpy() < 0).all()", "a bias of -5 makes all logits negative: no ReLU after fc2")


@exercise("Conv2dWeightGrad.forward", "Conv2dInputGrad.forward", "MaxPool2dGrad.forward", *NEEDS)
def test_every_parameter_gets_a_gradient(rng):
    model = CNN(image_size=8, generator=Generator(2))
    x = Tensor(rng.normal(size=(4, 1, 8, 8)).astype(np.float32))
    (expect.value("model(x)") ** 2.0).sum().backward()
    for name, parameter in model.named_parameters():
        expect.true(
            "parameter.grad is not None and bool((parameter.grad.numpy() != 0).any())",
            f"{name} has a gradient",
        )
