"""Models: MLP, CNN and GPT, made by name, with the weights that ship."""

from tinytorch.models.cnn import CNN
from tinytorch.models.gpt import GPT, generate
from tinytorch.models.mlp import MLP
from tinytorch.models.pretrained import load_pretrained, load_weights, save_weights
from tinytorch.models.registry import build, names

__all__ = [
    "CNN",
    "GPT",
    "MLP",
    "build",
    "generate",
    "load_pretrained",
    "load_weights",
    "names",
    "save_weights",
]
