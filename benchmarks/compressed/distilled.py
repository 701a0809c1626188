"""What a student gains by a teacher: a tenth of its parameters, the same steps, with and without it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

import tinytorch as tt
from benchmarks.compressed.pruning import over_seeds
from benchmarks.compressed.trained import FOLDER, SEEDS, batches, model
from tinytorch import data
from tinytorch.compression.distill import distill
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.models import CNN, MLP
from tinytorch.nn import CrossEntropyLoss, Module
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import Estimate
from tinytorch.random import Generator
from tinytorch.training import Accuracy, Trainer, evaluate
from tinytorch.training.recipes import Recipe, optimizer_for, schedule_for

SET = "fashion-full"
MUST = 0.005
TEACHER = Recipe(batch=128, lr=2e-3, weight_decay=0.05)
TEACHER_STEPS = 4000


@dataclass(frozen=True)
class Case:
    """What has labels, how both students are trained: each in its best way by validation accuracy, seed 0,
    out of the same rates (0.001, 0.002, 0.005, 0.01) and decays (0, 0.01, 0.1).

    `labels`: how many images have one, for teacher and student alike; None for all, and the teacher is then
    the CNN of the other parts. A student alone sees the images with labels; with a teacher all images, of
    which the others have what the teacher says alone. Both see mirror images, and both make `steps`.
    """

    name: str
    student: str
    labels: int | None
    alone: Recipe
    taught: Recipe
    steps: int
    temperature: float
    hard: float


def _rates(lr: float, weight_decay: float) -> Recipe:
    return Recipe(batch=128, lr=lr, weight_decay=weight_decay)


CASES = (
    Case("5,000 labels", "mlp", 5000, _rates(1e-2, 0.1), _rates(1e-2, 0.0), 5000, 1.0, 0.0),
    Case("all labels", "cnn", None, _rates(1e-2, 0.01), _rates(5e-3, 0.0), 5000, 1.0, 0.3),
)
"""What a teacher says is worth much where labels are missing; where all are there, nothing was won by it."""


@dataclass(frozen=True)
class Run:
    """One seed: accuracy on test data of the teacher, the student alone and the one that was taught."""

    teacher: float
    alone: float
    taught: float
    teacher_parameters: int
    student_parameters: int


@dataclass(frozen=True)
class Line:
    """A case: means over seeds, and of the gain its 95 % interval; `must` holds for its mean."""

    case: Case
    teacher: float
    alone: float
    taught: float
    smaller: float
    gain: Estimate
    must: float


def lines(cases: Sequence[Case] = CASES, seeds: Sequence[int] = SEEDS) -> list[Line]:
    """All lines; runs that are kept in runs/compressed are not made again."""
    found = []
    for case in cases:
        runs = [made(case, seed) for seed in seeds]
        teacher, alone, taught = (
            float(np.mean([getattr(run, name) for run in runs])) for name in ("teacher", "alone", "taught")
        )
        smaller = runs[0].teacher_parameters / runs[0].student_parameters
        gain = over_seeds([run.taught - run.alone for run in runs])
        found.append(Line(case, teacher, alone, taught, smaller, gain, MUST))
    return found


def made(case: Case, seed: int) -> Run:
    """A run of one seed: from the kept file, or made now."""
    path = FOLDER / f"distilled-{case.name.replace(' ', '-').replace(',', '')}-{seed}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(run(case, seed, "test")), indent=1), encoding="utf-8")
    return Run(**json.loads(path.read_text(encoding="utf-8")))


def run(case: Case, seed: int, split: str) -> Run:
    """Train teacher and both students from one seed; accuracy on a split, "validation" to choose by."""
    x, y = whole("train")
    chosen = np.arange(len(x)) if case.labels is None else _some(len(x), case.labels, seed)
    labelled = DataLoader(mirrored(x[chosen], y[chosen]), case.alone.batch, True, True, seed)
    if case.labels is None:
        teacher: Module = model("cnn", SET, seed)
    else:
        teacher = CNN(generator=Generator(100 + seed))
        _train(teacher, labelled, TEACHER, TEACHER_STEPS, f"teacher of {case.labels:,} labels")
    unlabelled = np.zeros_like(y)
    unlabelled[chosen] = y[chosen]
    everything = DataLoader(mirrored(x, unlabelled), case.taught.batch, True, True, seed)
    alone, taught = (_student(case.student, seed) for _ in range(2))
    _train(alone, labelled, case.alone, case.steps, "student alone")
    history = distill(
        taught,
        teacher,
        everything,
        epochs=round(case.steps / len(everything)),
        validation=batches(SET, "validation"),
        temperature=case.temperature,
        hard=case.hard,
        recipe=case.taught,
        compile=tt.compile,
        keep_best="accuracy",
        description="student with a teacher",
    )
    if history.interrupted:
        raise KeyboardInterrupt
    accuracies = [_accuracy(one, split) for one in (teacher, alone, taught)]
    return Run(*accuracies, teacher.num_parameters(), alone.num_parameters())


def whole(split: str) -> tuple[Array, Array]:
    """All images and labels of a split."""
    dataset = data.load(SET, split)
    x, y = dataset.batch(np.arange(len(dataset)))
    return x, y


def mirrored(x: Array, y: Array) -> TensorDataset:
    """Each image and its mirror image: a set that a teacher is asked about once."""
    return TensorDataset(np.concatenate([x, x[..., ::-1]]), np.concatenate([y, y]))


def _some(count: int, labels: int, seed: int) -> Array:
    return np.sort(np.random.default_rng(seed).permutation(count)[:labels])


def _student(kind: str, seed: int) -> Module:
    generator = Generator(seed)
    if kind == "mlp":
        return MLP((784, 12, 10), generator=generator)
    return CNN(channels=(6, 12), hidden=14, generator=generator)


def _train(network: Module, train: DataLoader, recipe: Recipe, steps: int, description: str) -> None:
    """By labels alone, with the weights of the epoch that is best on validation."""
    optimizer = optimizer_for(network, recipe)
    epochs = round(steps / len(train))
    trainer = Trainer(
        network,
        optimizer,
        CrossEntropyLoss(),
        schedule_for(optimizer, recipe, epochs * len(train)),
        metrics=[Accuracy()],
        keep_best="accuracy",
        compile=tt.compile,
        description=description,
    )
    if trainer.fit(train, epochs, validation=batches(SET, "validation")).interrupted:
        raise KeyboardInterrupt
    network.eval()


def _accuracy(network: Module, split: str) -> float:
    return evaluate(network, batches(SET, split), CrossEntropyLoss(), [Accuracy()])["accuracy"]
