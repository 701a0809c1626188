"""PyTorch beside TinyTorch: one thread, so that sums are taken in one order and no core is fought over."""

import torch

torch.set_num_threads(1)
