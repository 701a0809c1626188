"""Optimizers, learning-rate schedules and gradient clipping (lesson 07)."""

from tinytorch.optim.adam import Adam, AdamW
from tinytorch.optim.clip import clip_grad_norm
from tinytorch.optim.optimizer import Group, Optimizer
from tinytorch.optim.schedule import CosineWithWarmup, Schedule, StepLR
from tinytorch.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineWithWarmup",
    "Group",
    "Optimizer",
    "Schedule",
    "StepLR",
    "clip_grad_norm",
]
