"""A GPT in PyTorch with a cache of its own, eager, with the weights of ours."""

from __future__ import annotations

import torch
from torch.nn import functional

from tinytorch.models import GPT


class TorchGPT:
    """Keys and values lie in tensors of the full capacity; a step writes to its place and reads up to it."""

    def __init__(self, model: GPT) -> None:
        state = {name: torch.tensor(t.numpy()) for name, t in model.state_dict().items()}
        self.state, self.layers, self.heads = state, model.layers, model.heads
        shape = (1, model.heads, model.context, model.width // model.heads)
        self.keys = [torch.zeros(shape) for _ in range(model.layers)]
        self.values = [torch.zeros(shape) for _ in range(model.layers)]
        self.length = 0

    def feed(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits (vocab,) of the last of ids: (1, t), which the cache holds from then on."""
        s, t = self.state, ids.shape[1]
        end = self.length + t
        x = s["wte.weight"][ids] + s["wpe.weight"][self.length : end]
        for i in range(self.layers):
            x = x + self._attend(i, self._norm(x, f"blocks.{i}.norm1"), end)
            hidden = functional.gelu(
                self._linear(self._norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1"), approximate="tanh"
            )
            x = x + self._linear(hidden, f"blocks.{i}.mlp.fc2")
        self.length = end
        last = self._norm(x[:, -1], "norm")
        return functional.linear(last, s["wte.weight"])[0]

    def _attend(self, i: int, x: torch.Tensor, end: int) -> torch.Tensor:
        name, (batch, t, width) = f"blocks.{i}.attn", x.shape
        q, k, v = (
            self._linear(x, f"{name}.{part}_proj").view(batch, t, self.heads, -1).transpose(1, 2)
            for part in "qkv"
        )
        self.keys[i][:, :, self.length : end] = k
        self.values[i][:, :, self.length : end] = v
        causal = t > 1
        out = functional.scaled_dot_product_attention(
            q, self.keys[i][:, :, :end], self.values[i][:, :, :end], is_causal=causal
        )
        return self._linear(out.transpose(1, 2).reshape(batch, t, width), f"{name}.out_proj")

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight = self.state[f"{name}.weight"]
        return functional.layer_norm(x, weight.shape, weight, self.state[f"{name}.bias"], 1e-5)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])
