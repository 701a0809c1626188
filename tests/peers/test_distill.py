"""Losses of distillation beside PyTorch's kl_div, cross_entropy and mse_loss: values and gradients."""

import numpy as np
import pytest
import torch

from tests.peers.helper import compare, numbers
from tinytorch.compression.distill import distillation_loss, hidden_loss
from tinytorch.tensor import Tensor

T = torch.nn.functional


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 6), (1, 2)])
@pytest.mark.parametrize(("temperature", "hard"), [(4.0, 0.1), (0.5, 0.0), (1.0, 1.0), (20.0, 0.7)])
def test_distillation_loss(dtype: str, shape: tuple[int, ...], temperature: float, hard: float) -> None:
    labels = np.random.default_rng(0).integers(0, shape[-1], shape[:-1])
    taught = numbers(shape, dtype, 1, -8, 8)

    def theirs(student: torch.Tensor) -> torch.Tensor:
        rows = student.reshape(-1, shape[-1])
        log_p = T.log_softmax(rows / temperature, -1)
        q = T.softmax(torch.tensor(taught).reshape(-1, shape[-1]) / temperature, -1)
        soft = T.kl_div(log_p, q, reduction="batchmean") * temperature**2
        return (1 - hard) * soft + hard * T.cross_entropy(rows, torch.tensor(labels).reshape(-1))

    def ours(student: Tensor) -> Tensor:
        return distillation_loss(student, Tensor(taught), Tensor(labels), temperature, hard)

    compare(ours, theirs, [numbers(shape, dtype, 0, -8, 8)], dtype, second=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hidden_loss_of_images_is_that_of_a_window_of_one_pixel(dtype: str) -> None:
    w, taught = numbers((5, 3), dtype, 1), numbers((2, 5, 4, 4), dtype, 2)

    def theirs(student: torch.Tensor) -> torch.Tensor:
        kernel = torch.tensor(w)[:, :, None, None]
        return T.mse_loss(T.conv2d(student, kernel), torch.tensor(taught))

    def ours(student: Tensor) -> Tensor:
        return hidden_loss(student, Tensor(taught), lambda h: h @ Tensor(w).mT)

    compare(ours, theirs, [numbers((2, 3, 4, 4), dtype, 0)], dtype, second=False)
