"""Layers as functions, for those who hold the parameters themselves."""

from tinytorch.nn.embedding import embedding
from tinytorch.nn.layers import dropout
from tinytorch.nn.losses import binary_cross_entropy_with_logits, mse_loss
from tinytorch.ops.activation import gelu, silu
from tinytorch.ops.attention import attention
from tinytorch.ops.batchnorm import batch_norm
from tinytorch.ops.conv import conv2d
from tinytorch.ops.elementwise import relu, sigmoid, tanh
from tinytorch.ops.matmul import linear
from tinytorch.ops.norm import layer_norm, rms_norm
from tinytorch.ops.pool import avg_pool2d, max_pool2d
from tinytorch.ops.shape import pad
from tinytorch.ops.softmax import cross_entropy, log_softmax, softmax

__all__ = [
    "attention",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "layer_norm",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "pad",
    "relu",
    "rms_norm",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]
