"""BERT: an encoder whose tokens see both ways, sentence embeddings, and Hugging Face's weights for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytorch.errors import CheckpointError, ShapeError
from tinytorch.nn import init
from tinytorch.nn.activations import Tanh
from tinytorch.nn.attention import MultiHeadAttention
from tinytorch.nn.containers import ModuleList
from tinytorch.nn.embedding import Embedding
from tinytorch.nn.layers import Dropout, LayerNorm, Linear
from tinytorch.nn.module import Module
from tinytorch.nn.transformer import FeedForward
from tinytorch.ops.spec import Array
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

EPS = 1e-12  # added to the variance in all of BERT's layer norms


class BERTEmbeddings(Module):
    """Word, position and segment embeddings, added and normalised; ids: (batch, t), result (batch, t, width).

    >>> BERTEmbeddings(10, 8, 4)(Tensor([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        vocab_size: int,
        context: int,
        width: int,
        segments: int = 2,
        dropout: float = 0.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.words = Embedding(vocab_size, width, generator=generator)
        self.positions = Embedding(context, width, generator=generator)
        self.segments = Embedding(segments, width, generator=generator)
        self.norm = LayerNorm(width, EPS)
        self.drop = Dropout(dropout, generator=generator)

    def forward(self, ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """`token_type_ids`: the segment of each token, shaped like ids; all of the first where None."""
        places = self.positions.weight[: ids.shape[1]]
        if token_type_ids is None:
            x = self.words(ids) + (places + self.segments.weight[0])
        else:
            x = self.words(ids) + self.segments(token_type_ids) + places
        return self.drop(self.norm(x))  # type: ignore[no-any-return]


class BERTBlock(Module):
    """norm1(x + attn(x)), then norm2(x + mlp(x)); x: (batch, t, width), result the same shape.

    The norm comes last, GELU is the exact one. Dropout acts on what each part adds; attention weights have
    none.

    >>> from tinytorch.tensor import ones
    >>> BERTBlock(width=8, heads=2, hidden=16)(ones(1, 3, 8)).shape
    (1, 3, 8)
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(width, heads, generator=generator)
        self.norm1 = LayerNorm(width, EPS)
        self.mlp = FeedForward(width, hidden, "none", generator=generator)
        self.norm2 = LayerNorm(width, EPS)
        self.drop = Dropout(dropout, generator=generator)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask`: bool, True = may attend (see nn.attention)."""
        x = self.norm1(x + self.drop(self.attn(x, mask)))
        return self.norm2(x + self.drop(self.mlp(x)))  # type: ignore[no-any-return]


class BERTPooler(Module):
    """tanh of a linear map of the first token's state; hidden: (batch, t, width), result (batch, width).

    >>> from tinytorch.tensor import ones
    >>> BERTPooler(4)(ones(2, 3, 4)).shape
    (2, 4)
    """

    def __init__(self, width: int, *, generator: Generator | None = None) -> None:
        super().__init__()
        self.dense = Linear(width, width, generator=generator)
        self.act = Tanh()

    def forward(self, hidden: Tensor) -> Tensor:
        return self.act(self.dense(hidden[:, 0]))  # type: ignore[no-any-return]


class BERT(Module):
    """Hidden states (batch, t, width) of ids: (batch, t) int64; with a pooler, its (batch, width) instead.

    Devlin, Chang, Lee, Toutanova, "BERT: pre-training of deep bidirectional transformers for language
    understanding", 2018. The defaults are BERT-base; `hidden` is the width inside the MLPs (4 * width where
    None). First values: weights from N(0, 0.02), biases 0. Raises ShapeError unless `heads` divides `width`.

    >>> model = BERT(vocab_size=10, context=8, width=16, layers=1, heads=2)
    >>> ids, mask = Tensor([[1, 2, 3], [4, 5, 0]]), Tensor([[1, 1, 1], [1, 1, 0]])
    >>> model(ids, mask).shape, model.embed(ids, mask).shape
    ((2, 3, 16), (2, 16))
    """

    def __init__(
        self,
        vocab_size: int = 30522,
        context: int = 512,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        hidden: int | None = None,
        segments: int = 2,
        dropout: float = 0.0,
        pooler: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size, self.context, self.width = vocab_size, context, width
        self.layers, self.heads, self.segments = layers, heads, segments
        self.hidden, self.dropout = 4 * width if hidden is None else hidden, dropout
        self.embeddings = BERTEmbeddings(vocab_size, context, width, segments, dropout, generator=generator)
        self.blocks = ModuleList(
            BERTBlock(width, heads, self.hidden, dropout, generator=generator) for _ in range(layers)
        )
        self.pooler = BERTPooler(width, generator=generator) if pooler else None
        self._initialise(generator)
        self.example_input = Generator(0).randint(0, vocab_size, (1, min(context, 128)))

    def _initialise(self, generator: Generator | None) -> None:
        for name, parameter in self.named_parameters():
            if name.startswith("embeddings.") and parameter.ndim == 2:
                parameter.assign_(parameter.detach() * 0.02)  # N(0, 1) already; drawing anew takes seconds
            elif parameter.ndim == 2:
                parameter.assign_(init.normal(parameter.shape, 0.02, generator))
            elif name.endswith("bias"):
                parameter.assign_(0.0)

    def forward(
        self, ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """See `hidden_states` for the arguments and what is raised."""
        hidden = self.hidden_states(ids, attention_mask, token_type_ids)
        return hidden if self.pooler is None else self.pooler(hidden)

    def hidden_states(
        self, ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(batch, t, width), pooler or not.

        `attention_mask`: shaped like ids, 0 or False for padding, whose own states mean nothing.
        `token_type_ids`: shaped like ids, the segment of each token; all of segment 0 where None.
        Raises ShapeError for shapes that do not fit, more than `context` tokens, or an id out of range.
        """
        if ids.ndim != 2 or ids.shape[1] > self.context:
            raise ShapeError(f"BERT: ids {ids.shape}; expected (batch, t) with t at most {self.context}")
        for name, given in (("attention_mask", attention_mask), ("token_type_ids", token_type_ids)):
            if given is not None and given.shape != ids.shape:
                raise ShapeError(f"BERT: {name} {given.shape}; expected the shape of ids, {ids.shape}")
        mask = None
        if attention_mask is not None:
            mask = (attention_mask != 0).reshape(ids.shape[0], 1, 1, ids.shape[1])
        x = self.embeddings(ids, token_type_ids)
        for block in self.blocks:
            x = block(x, mask)
        return x  # type: ignore[no-any-return]

    def embed(
        self, ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """The mean state of the tokens that are no padding, scaled to length 1: (batch, width).

        The dot product of two is their cosine similarity: Reimers, Gurevych, "Sentence-BERT", 2019.
        A row of padding only gives zeros. Raises ShapeError as `hidden_states` does.
        """
        return mean_pooled(self.hidden_states(ids, attention_mask, token_type_ids), attention_mask)

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this architecture."""
        names = ("vocab_size", "context", "width", "layers", "heads", "hidden", "segments", "dropout")
        return {name: getattr(self, name) for name in names} | {"pooler": self.pooler is not None}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.config().items())


def mean_pooled(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """The mean over the tokens whose mask is not 0, scaled to length 1; hidden: (batch, t, width).

    A row without such a token gives zeros.

    >>> mean_pooled(Tensor([[[2.0, 2.0], [4.0, 6.0], [9.0, 9.0]]]), Tensor([[1, 1, 0]]))
    Tensor([[0.6, 0.8]])
    """
    if attention_mask is None:
        mean = hidden.mean(1)
    else:
        kept = (attention_mask != 0).to(hidden.dtype)
        total = (hidden * kept.reshape(*kept.shape, 1)).sum(1)
        mean = total / kept.sum(1, keepdims=True).clip(1)
    # the square root of 0 has no finite derivative: the bound is on its argument
    return mean / (mean * mean).sum(-1, keepdims=True).clip(1e-24).sqrt()


# ---------------------------------------------------------------- Hugging Face's names

_EMBEDDINGS = {
    "word_embeddings": "words",
    "position_embeddings": "positions",
    "token_type_embeddings": "segments",
    "LayerNorm": "norm",
}
_LAYER = {
    "attention.self.query": "attn.q_proj",
    "attention.self.key": "attn.k_proj",
    "attention.self.value": "attn.v_proj",
    "attention.output.dense": "attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "output.LayerNorm": "norm2",
}
_NOT_WEIGHTS = "embeddings.position_ids"  # 0, 1, 2, ...: a buffer that older files hold


def hugging_face_names(layers: int) -> dict[str, str]:
    """Parameters of a BERT with a pooler: the name in Hugging Face's BertModel, and ours.

    >>> hugging_face_names(1)["encoder.layer.0.attention.self.query.weight"]
    'blocks.0.attn.q_proj.weight'
    """
    modules = {f"embeddings.{theirs}": f"embeddings.{ours}" for theirs, ours in _EMBEDDINGS.items()}
    for i in range(layers):
        modules |= {f"encoder.layer.{i}.{theirs}": f"blocks.{i}.{ours}" for theirs, ours in _LAYER.items()}
    modules["pooler.dense"] = "pooler.dense"
    return {
        f"{theirs}.{kind}": f"{ours}.{kind}"
        for theirs, ours in modules.items()
        for kind in (("weight",) if theirs.endswith("_embeddings") else ("weight", "bias"))
    }


def load_hugging_face(model: BERT, tensors: Mapping[str, Array]) -> None:
    """Copy the weights of a BertModel, under Hugging Face's names, into a model of the same sizes.

    A model without a pooler leaves that of the file. Raises CheckpointError, listing what is missing,
    unknown or of another shape, and then changes nothing.
    """
    names = hugging_face_names(model.layers)
    missing = names.keys() - tensors.keys()
    if model.pooler is None:
        missing = {name for name in missing if not name.startswith("pooler.")}
    unknown = tensors.keys() - names.keys() - {_NOT_WEIGHTS}
    if missing or unknown:
        lines = [f"missing {n}" for n in sorted(missing)] + [f"unexpected {n}" for n in sorted(unknown)]
        shown = lines[:6] + (["..."] if len(lines) > 6 else [])
        raise CheckpointError(
            f"not the weights of a BERT of {model.layers} layers: {'; '.join(shown)} ({len(lines)} in all). "
            "Nothing was changed."
        )
    own = model.state_dict()
    model.load_state_dict({names[n]: t for n, t in tensors.items() if n in names and names[n] in own})
