"""Compression: fewer weights, fewer channels, fewer values, and what each gains, measured."""

from tinytorch.compression.analyze import Analysis, analyze
from tinytorch.compression.blocks import drop_blocks
from tinytorch.compression.compressor import Compressed, Compressor
from tinytorch.compression.distill import Distiller, distill, distillation_loss
from tinytorch.compression.finetune import PruningTrainer, fine_tune
from tinytorch.compression.lowrank import factorize
from tinytorch.compression.masks import Masks
from tinytorch.compression.prune import Pruned, prune, prune_pattern
from tinytorch.compression.schedule import gradual, iterative, one_shot
from tinytorch.compression.share import settled, shared, sharing
from tinytorch.compression.sparse import BlockedLinear, SparseLinear
from tinytorch.compression.sparsify import break_even, sparsify
from tinytorch.compression.structure import shrink

__all__ = [
    "Analysis",
    "BlockedLinear",
    "Compressed",
    "Compressor",
    "Distiller",
    "Masks",
    "Pruned",
    "PruningTrainer",
    "SparseLinear",
    "analyze",
    "break_even",
    "distill",
    "distillation_loss",
    "drop_blocks",
    "factorize",
    "fine_tune",
    "gradual",
    "iterative",
    "one_shot",
    "prune",
    "prune_pattern",
    "settled",
    "shared",
    "sharing",
    "shrink",
    "sparsify",
]
