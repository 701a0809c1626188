"""The training loop, its metrics and its checkpoints (lesson 08)."""

from tinytorch.training.checkpoint import Resumable
from tinytorch.training.files import (
    load_weights,
    read_tensors,
    require_writable,
    save_weights,
    write_tensors,
    write_whole,
)
from tinytorch.training.history import History
from tinytorch.training.language import next_token_loss, sliding_bits
from tinytorch.training.metrics import Accuracy, BitsPerByte, Metric, Perplexity, RunningMean, evaluate
from tinytorch.training.step import forward_backward
from tinytorch.training.stream import Stream
from tinytorch.training.trainer import Trainer

__all__ = [
    "Accuracy",
    "BitsPerByte",
    "History",
    "Metric",
    "Perplexity",
    "Resumable",
    "RunningMean",
    "Stream",
    "Trainer",
    "evaluate",
    "forward_backward",
    "load_weights",
    "next_token_loss",
    "read_tensors",
    "require_writable",
    "save_weights",
    "sliding_bits",
    "write_tensors",
    "write_whole",
]
