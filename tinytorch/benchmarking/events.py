"""The three events: what they are scored on, their baselines, their gates, and what an entry looks like."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

from tinytorch.acceleration.artifact.compact import Unpacking
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.artifact.validate import Limits
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.data.registry import data_folder
from tinytorch.errors import BenchmarkError, CheckpointError, ProgramError
from tinytorch.models.pretrained import load_pretrained
from tinytorch.models.registry import Model
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Spec, float32, int64
from tinytorch.tensor import Tensor, zeros
from tinytorch.training.files import write_whole
from tinytorch.training.metrics import evaluating

LIMITS = Limits(memory=256 * 2**20, flops=10**10, header=2 * 2**20)
"""How large an entry may be: several hundred times the work of the CNN, fifty times that of the GPT."""
LARGEST = 64 * 2**20
"""Bytes of an entry's file."""

Kind = Literal["images", "text"]


@dataclass(frozen=True)
class Event:
    """One event: `model` is the name of the baseline that ships, `inputs` and `outputs` what a program takes
    and gives, `gate` the quality that must be kept, as a share of the baseline's, `batch` the samples of an
    offline pass, `limit` the most seconds that loading an entry may take.
    """

    name: str
    title: str
    kind: Kind
    data: str
    model: str
    inputs: Spec
    outputs: Spec
    gate: float
    batch: int
    limit: float = 20.0

    @property
    def parts(self) -> tuple[str, ...]:
        """What is timed one query after the other."""
        return ("classify",) if self.kind == "images" else ("score", "generate")

    @property
    def quality(self) -> str:
        """The name of the figure that the gate is about."""
        return "accuracy" if self.kind == "images" else "bits per byte"

    def kept(self, quality: float, baseline: float) -> float:
        """The share of the baseline's quality that is left: above 1 it is better.

        >>> event("mlp_sprint").kept(0.45, 0.90), event("transformer_decathlon").kept(2.5, 2.0)
        (0.5, 0.8)
        """
        return quality / baseline if self.kind == "images" else baseline / quality


_IMAGES = (Spec((1, 1, 28, 28), float32), Spec((1, 10), float32))
_TEXT = (Spec((1, 128), int64), Spec((1, 128, 256), float32))

EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        one.name: one
        for one in (
            Event("mlp_sprint", "MLP Sprint", "images", "fashion", "mlp", *_IMAGES, 0.99, 64),
            Event("cnn_marathon", "CNN Marathon", "images", "fashion", "cnn", *_IMAGES, 0.99, 64),
            Event("transformer_decathlon", "Transformer Decathlon", "text", "pydocs", "gpt", *_TEXT, 1.01, 8),
        )
    }
)


def event(name: str) -> Event:
    """The event of that name; raises BenchmarkError naming those that there are.

    >>> event("cnn_marathon").title
    'CNN Marathon'
    """
    if name not in EVENTS:
        raise BenchmarkError(f"there is no event {name!r:.60}; there are: {', '.join(EVENTS)}")
    return EVENTS[name]


def baseline_model(one: Event) -> Model:
    """The model that ships, trained, with the event's input as its example."""
    model = load_pretrained(one.model)
    model.example_input = example(one)
    return model


def example(one: Event) -> Tensor:
    """An input of the event's shape: zeros."""
    return zeros(*one.inputs.shape, dtype=one.inputs.dtype)


def program_for(one: Event, model: Module) -> Graph:
    """A model as a program of the event."""
    with no_grad(), evaluating(model):
        return trace(model, (example(one),)).graph


@cache
def baseline_graph(name: str) -> Graph:
    """The program of an event's baseline."""
    one = event(name)
    return program_for(one, baseline_model(one))


@cache
def baseline(name: str) -> bytes:
    """The canonical file of an event's baseline, kept beside other caches, as coding it takes seconds."""
    graph = baseline_graph(name)
    path = data_folder() / "tinymlperf" / f"{hashlib.sha256(as_bytes(graph)).hexdigest()}.ttc"
    try:
        content = path.read_bytes()
        Unpacking(io.BytesIO(content), len(content), LIMITS.memory)  # compares its checksum
        return content
    except (ProgramError, OSError):
        made = canonical(graph)
    with contextlib.suppress(CheckpointError, OSError):  # where nothing can be written it is made each time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, made)
    return made


def canonical(graph: Graph) -> bytes:
    """The bytes by which an entry is known, and whose number is its size: compact, without name and notes."""
    return as_bytes(graph, compact=True)
