"""Layers, losses and what they are built on, under PyTorch's names."""

from tinytorch.nn import functional, init
from tinytorch.nn.activations import GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from tinytorch.nn.attention import KVCacheLike, MultiHeadAttention
from tinytorch.nn.containers import ModuleList, Sequential
from tinytorch.nn.conv import AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d
from tinytorch.nn.embedding import Embedding, Positions
from tinytorch.nn.layers import Dropout, Flatten, Identity, LayerNorm, Linear, RMSNorm
from tinytorch.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from tinytorch.nn.module import Module, Parameter
from tinytorch.nn.transformer import FeedForward, TransformerBlock

__all__ = [
    "GELU",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "FeedForward",
    "Flatten",
    "Identity",
    "KVCacheLike",
    "LayerNorm",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "Parameter",
    "Positions",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "TransformerBlock",
    "functional",
    "init",
]
