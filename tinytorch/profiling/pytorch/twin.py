"""The same model in PyTorch: layers of torch.nn under the same names, with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytorch import nn
from tinytorch.errors import ProfilingError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.models.bert import BERT, BERTBlock, BERTEmbeddings, BERTPooler
from tinytorch.nn.module import Module
from tinytorch.profiling.pytorch.watch import torch_package
from tinytorch.profiling.tree import modules_by_path

SUPPORTED = "MLP, CNN, GPT and BERT, and what nn.Sequential makes of the layers of tinytorch.nn"


def twin_of(model: Module) -> Any:
    """A torch.nn.Module that computes what the model computes, with copies of its weights, in its mode.

    Modules and parameters have the names they have in the model; tied ones are tied. Attention runs on the
    fused kernel of PyTorch. Raises ProfilingError where PyTorch is missing, and for modules without a twin.
    """
    torch = torch_package()
    made: dict[int, Any] = {}
    twin = _twin(torch, model, made)
    with torch.no_grad():
        for path, ours in modules_by_path(model).items():
            _share_weights(torch, ours, twin.get_submodule(path), made)
    return twin.train(model.training)


def array_of(torch: Any, tensor: Any) -> Any:
    """A tensor of ours as one of PyTorch's, with memory of its own."""
    return torch.from_numpy(tensor.detach().numpy().copy())


def _share_weights(torch: Any, ours: Module, theirs: Any, made: dict[int, Any]) -> None:
    """Give a module copies of the tensors of ours; a tensor met before is the same in PyTorch, too."""
    for name, tensor in ours.named_parameters():
        if "." not in name:
            if id(tensor) not in made:
                made[id(tensor)] = torch.nn.Parameter(array_of(torch, tensor), tensor.requires_grad)
            setattr(theirs, name, made[id(tensor)])
    for name, tensor in ours.named_buffers():
        if "." not in name:
            setattr(theirs, name, array_of(torch, tensor))


def _twin(torch: Any, module: Module, made: dict[int, Any]) -> Any:
    """The module without its weights; a shared one is shared."""
    if id(module) in made:
        return made[id(module)]
    kind = type(module)
    if kind in LAYERS:
        twin = LAYERS[kind](torch.nn, module)
    elif kind in FORWARDS:
        forward = FORWARDS[kind]
        twin = type(kind.__name__, (torch.nn.Module,), {"forward": forward})()
        for name, value in _fields(torch, module).items():
            setattr(twin, name, value)
    elif kind in (nn.Sequential, nn.ModuleList):
        twin = getattr(torch.nn, kind.__name__)()
    else:
        raise ProfilingError(
            f"{kind.__name__}: there is no twin in PyTorch for this module. Supported: {SUPPORTED}."
        )
    made[id(module)] = twin
    for name, child in module.named_children():
        twin.add_module(name, _twin(torch, child, made))
    return twin


def _fields(torch: Any, module: Module) -> dict[str, Any]:
    """What a twin's `forward` reads beside its children."""
    if isinstance(module, nn.TransformerBlock):
        return {"causal": module.causal}
    if isinstance(module, BERT) and module.pooler is None:
        return {"pooler": None}
    if isinstance(module, nn.MultiHeadAttention):
        return {"heads": module.num_heads, "attend": torch.nn.functional.scaled_dot_product_attention}
    return {}


# ---------------------------------------------------------------- layers


Maker = Callable[[Any, Any], Any]
LAYERS: dict[type[Module], Maker] = {
    nn.Linear: lambda of, m: of.Linear(m.in_features, m.out_features, m.bias is not None),
    nn.Conv2d: lambda of, m: of.Conv2d(
        m.in_channels,
        m.out_channels,
        m.kernel_size,
        m.stride,
        m.padding,
        m.dilation,
        m.groups,
        m.bias is not None,
    ),
    nn.Embedding: lambda of, m: of.Embedding(*m.weight.shape),
    nn.LayerNorm: lambda of, m: of.LayerNorm(m.weight.shape, m.eps),
    nn.BatchNorm2d: lambda of, m: of.BatchNorm2d(m.weight.shape[0], m.eps, m.momentum),
    nn.MaxPool2d: lambda of, m: of.MaxPool2d(m.kernel_size, m.stride, m.padding),
    nn.AvgPool2d: lambda of, m: of.AvgPool2d(m.kernel_size, m.stride, m.padding),
    nn.Flatten: lambda of, m: of.Flatten(m.start_dim, m.end_dim),
    nn.Dropout: lambda of, m: of.Dropout(m.p) if m.p else of.Identity(),
    nn.GELU: lambda of, m: of.GELU(m.approximate),
    nn.Softmax: lambda of, m: of.Softmax(m.dim),
    nn.ReLU: lambda of, m: of.ReLU(),
    nn.SiLU: lambda of, m: of.SiLU(),
    nn.Tanh: lambda of, m: of.Tanh(),
    nn.Sigmoid: lambda of, m: of.Sigmoid(),
    nn.Identity: lambda of, m: of.Identity(),
}
"""How a layer is made in torch.nn."""


# ---------------------------------------------------------------- forward passes, on PyTorch's tensors


def _mlp(self: Any, x: Any) -> Any:
    return self.layers(self.flatten(x))


def _cnn(self: Any, x: Any) -> Any:
    x = self.pool(self.relu(self.conv1(x)))
    x = self.pool(self.relu(self.conv2(x)))
    return self.fc2(self.relu(self.fc1(self.flatten(x))))


def _attention(self: Any, x: Any, mask: Any = None, causal: bool = False) -> Any:
    projected = (layer(x) for layer in (self.q_proj, self.k_proj, self.v_proj))
    q, k, v = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in projected)
    out = self.attend(q, k, v, mask, is_causal=causal)
    return self.out_proj(out.transpose(1, 2).flatten(2))


def _feed_forward(self: Any, x: Any) -> Any:
    return self.fc2(self.act(self.fc1(x)))


def _block(self: Any, x: Any) -> Any:
    x = x + self.drop(self.attn(self.norm1(x), None, self.causal))
    return x + self.drop(self.mlp(self.norm2(x)))


def _gpt(self: Any, ids: Any) -> Any:
    x = self.drop(self.wte(ids) + self.wpe.weight[: ids.shape[1]])
    for block in self.blocks:
        x = block(x)
    return self.head(self.norm(x))


def _bert_embeddings(self: Any, ids: Any, token_type_ids: Any = None) -> Any:
    places = self.positions.weight[: ids.shape[1]]
    if token_type_ids is None:
        x = self.words(ids) + (places + self.segments.weight[0])
    else:
        x = self.words(ids) + self.segments(token_type_ids) + places
    return self.drop(self.norm(x))


def _bert_block(self: Any, x: Any, mask: Any = None) -> Any:
    x = self.norm1(x + self.drop(self.attn(x, mask)))
    return self.norm2(x + self.drop(self.mlp(x)))


def _bert_pooler(self: Any, hidden: Any) -> Any:
    return self.act(self.dense(hidden[:, 0]))


def _bert(self: Any, ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Any:
    mask = None if attention_mask is None else (attention_mask != 0)[:, None, None, :]
    x = self.embeddings(ids, token_type_ids)
    for block in self.blocks:
        x = block(x, mask)
    return x if self.pooler is None else self.pooler(x)


FORWARDS: dict[type[Module], Callable[..., Any]] = {
    MLP: _mlp,
    CNN: _cnn,
    GPT: _gpt,
    BERT: _bert,
    BERTEmbeddings: _bert_embeddings,
    BERTBlock: _bert_block,
    BERTPooler: _bert_pooler,
    nn.TransformerBlock: _block,
    nn.FeedForward: _feed_forward,
    nn.MultiHeadAttention: _attention,
}
"""What the compositions of ours do, in the words of PyTorch."""
