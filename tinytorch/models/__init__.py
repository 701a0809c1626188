"""Models: MLP, CNN, GPT and BERT, the weights that ship, and those of others that can be fetched."""

from tinytorch.models.bert import BERT
from tinytorch.models.cnn import CNN
from tinytorch.models.gpt import GPT, generate
from tinytorch.models.minilm import fetch_minilm, load_minilm
from tinytorch.models.mlp import MLP
from tinytorch.models.pretrained import load_pretrained, load_weights, save_weights
from tinytorch.models.registry import build, names

__all__ = [
    "BERT",
    "CNN",
    "GPT",
    "MLP",
    "build",
    "fetch_minilm",
    "generate",
    "load_minilm",
    "load_pretrained",
    "load_weights",
    "names",
    "save_weights",
]
