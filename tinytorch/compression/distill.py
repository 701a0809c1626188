"""Knowledge distillation: a student learns what a teacher says of each input, besides what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from math import prod
from typing import Any, TypeAlias

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.data.dataset import Batch as Arrays
from tinytorch.data.dataset import Dataset, Indices
from tinytorch.data.loader import DataLoader
from tinytorch.errors import CompressionError, ShapeError
from tinytorch.nn.layers import Linear
from tinytorch.nn.losses import mse_loss
from tinytorch.nn.module import Module
from tinytorch.ops.context import OpEvent, context, observe
from tinytorch.ops.shape import concat
from tinytorch.ops.softmax import cross_entropy, log_softmax
from tinytorch.random import Generator
from tinytorch.tensor import Tensor
from tinytorch.training.history import History
from tinytorch.training.metrics import Accuracy, Batch, evaluating
from tinytorch.training.recipes import Recipe, optimizer_for, schedule_for
from tinytorch.training.step import Compile
from tinytorch.training.trainer import Trainer

Teacher: TypeAlias = Callable[..., Any]
"""A Module, a LoadedProgram, or any other function from inputs to logits."""
RECIPE = Recipe(batch=128, lr=2e-3, weight_decay=0.0)
"""Its batch and epochs do not matter here: the loader and the call say them."""
ASKED = 500
"""Samples that a teacher is asked about at once."""


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    hard: float = 0.1,
) -> Tensor:
    """hard * cross-entropy + (1 - hard) * T ** 2 * KL(teacher || student), means over all rows: one number.

    Both logits: (..., classes), labels: (...) integers. KL is sum q * (log q - log p) over the classes, with
    q = softmax(teacher_logits / T) and p = softmax(student_logits / T): at a temperature T above 1 it says
    how the teacher ranks the wrong classes. Its gradient shrinks with 1 / T ** 2, which the factor makes
    good, so that `hard` means the same at any T. The cross-entropy is that of the labels, at T = 1. No
    gradient goes to the teacher; with `log_softmax` both stay finite for any finite logits. Hinton, Vinyals,
    Dean, "Distilling the knowledge in a neural network", 2015.

    Raises ShapeError, which names the shapes, where logits differ or labels do not fit them, and
    CompressionError unless temperature > 0 and 0 <= hard <= 1.

    >>> distillation_loss(Tensor([[0.0, 0.0]]), Tensor([[4.0, -4.0]]), Tensor([0]), temperature=2.0, hard=0.0)
    Tensor(2.4122)
    """
    _check(temperature, hard)
    if student_logits.shape != teacher_logits.shape or labels.shape != student_logits.shape[:-1]:
        raise ShapeError(
            f"distillation_loss: student {student_logits.shape}, teacher {teacher_logits.shape}, "
            f"labels {labels.shape}; expected (..., classes) twice, and (...)"
        )
    log_q = log_softmax(teacher_logits.detach() * (1 / temperature))
    log_p = log_softmax(student_logits * (1 / temperature))
    soft = (log_q.exp() * (log_q - log_p)).sum(-1).mean() * (temperature**2)
    rows = student_logits.reshape(-1, student_logits.shape[-1])
    return soft * (1 - hard) + cross_entropy(rows, labels.reshape(-1)) * hard


def hidden_loss(
    student_hidden: Tensor, teacher_hidden: Tensor, projection: Callable[[Tensor], Tensor]
) -> Tensor:
    """Mean squared difference of projection(student_hidden) and teacher_hidden; no gradient to the teacher.

    student_hidden: (..., student width), teacher_hidden: (..., teacher width); of images, (batch, channels,
    height, width), the channels are the width, and are moved to the last axis first. `projection` goes from
    one width to the other, a Linear that is trained along, and is thrown away afterwards. Romero et al.,
    "FitNets: hints for thin deep nets", 2015. Raises ShapeError where the other axes differ.

    >>> hidden_loss(Tensor([[1.0, 2.0]]), Tensor([[3.0]]), lambda h: h.sum(-1, keepdims=True) + 1)
    Tensor(1.)
    """
    ours, theirs = width_last(student_hidden), width_last(teacher_hidden.detach())
    if ours.shape[:-1] != theirs.shape[:-1]:
        raise ShapeError(
            f"hidden_loss: student {student_hidden.shape} and teacher {teacher_hidden.shape} differ besides "
            "their widths. Choose layers of the same size of image, or the same positions."
        )
    return mse_loss(projection(ours), theirs)


def width_last(hidden: Tensor) -> Tensor:
    """Hidden states with their width as the last axis: images (b, c, h, w) as (b, h, w, c), others as is."""
    return hidden.permute(0, 2, 3, 1) if hidden.ndim == 4 else hidden


def _check(temperature: float, hard: float) -> None:
    if not temperature > 0:
        raise CompressionError(f"distillation: temperature {temperature:g}; expected a number above 0")
    if not 0 <= hard <= 1:
        raise CompressionError(f"distillation: hard={hard:g}; expected a share from 0 to 1")


# ---------------------------------------------------------------- hidden states


class _Watch:
    """Keeps what the last op within a module made: the module's result."""

    def __init__(self, path: str) -> None:
        self.path, self.made = path, Tensor(0.0)
        self.seen = False

    def on_op(self, event: OpEvent) -> None:
        if event.path == self.path or event.path.startswith(f"{self.path}."):
            self.made, self.seen = event.outputs[0], True

    def on_exit(self, tensor: Tensor, how: str) -> None:
        pass


def with_hidden(model: Module, path: str, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The result of a model, and that of the module at a path in it, of its last call.

    Raises CompressionError where no op runs in that module.

    >>> from tinytorch.nn import ReLU, Sequential
    >>> with_hidden(Sequential(ReLU(), ReLU()), "0", Tensor([-1.0, 1.0]))[1]
    Tensor([0., 1.])
    """
    whole = ".".join(part for part in (context.state.path, model._name, path) if part)
    watch = _Watch(whole)
    with observe(watch):
        result = model(*inputs)
    if not watch.seen:
        raise CompressionError(f"hidden: no op runs in {path!r} of {type(model).__name__}")
    return result, watch.made


class _Learner(Module):
    """The student in training with its hidden states: they stand behind the logits, in the same row."""

    def __init__(self, student: Module, path: str, projection: Linear) -> None:
        super().__init__()
        self.student, self.projection, self.path = student, projection, path

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self.training:
            return self.student(*inputs)  # type: ignore[no-any-return]
        return _row(*with_hidden(self.student, self.path, *inputs))


def _row(logits: Tensor, *more: Tensor) -> Tensor:
    lead = logits.shape[:-1]
    return concat([logits, *(t.reshape(*lead, t.size // prod(lead)) for t in more)], -1)


# ---------------------------------------------------------------- loss and metric of packed rows


class TaughtLoss(Module):
    """The loss of a batch whose target is that of `Distiller`; for labels alone, it is their cross-entropy.

    A target is float32, (..., 1 + classes + hidden): the label (exact up to 2 ** 24), the teacher's logits,
    and where asked for its hidden states; a result then has the student's hidden states behind its logits.
    """

    def __init__(self, temperature: float, hard: float) -> None:
        super().__init__()
        _check(temperature, hard)
        self.temperature, self.hard = temperature, hard
        self.hint = 0.0
        self.classes: int | None = None
        self.shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    def hinted(
        self, hint: float, projection: Linear, classes: int, shapes: Sequence[tuple[int, ...]]
    ) -> None:
        """Count hidden states too, `hint` times; `shapes`: the student's and the teacher's, of one sample."""
        self.hint, self.projection, self.classes = hint, projection, classes
        self.shapes = shapes[0], shapes[1]

    def split(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The student's logits and the labels."""
        if target.dtype.kind == "i":
            return output, target
        return output[..., : self.classes], target[..., 0].to("int64")

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        logits, labels = self.split(output, target)
        classes = logits.shape[-1]
        if target.dtype.kind == "i":
            return cross_entropy(logits.reshape(-1, classes), labels.reshape(-1))
        taught = target[..., 1 : 1 + classes]
        loss = distillation_loss(logits, taught, labels, self.temperature, self.hard)
        if not self.hint:
            return loss
        ours, theirs = self.shapes
        student = output[..., classes:].reshape(-1, *ours)
        teacher = target[..., 1 + classes :].reshape(-1, *theirs)
        return loss + hidden_loss(student, teacher, self.projection) * self.hint


class TaughtAccuracy(Accuracy):
    """Accuracy on the labels of such targets, and of plain ones."""

    def __init__(self, loss: TaughtLoss) -> None:
        super().__init__()
        self.loss = loss

    def update(self, output: Tensor, target: Tensor, loss: float, count: int) -> None:
        """Count the labels that were hit."""
        super().update(*self.loss.split(output, target), loss, count)


class TaughtDataset(Dataset):
    """A data set whose targets have what a teacher said of each sample beside them; it is asked once."""

    def __init__(self, dataset: Dataset, targets: Callable[[Arrays], Arrays]) -> None:
        self.dataset = dataset
        runs = (np.arange(i, min(i + ASKED, len(dataset))) for i in range(0, len(dataset), ASKED))
        self.targets = np.concatenate([targets(dataset.batch(run))[-1] for run in runs])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return (*self.dataset[index][:-1], self.targets[index])

    def batch(self, indices: Indices) -> Arrays:
        """The samples at `indices`, with their targets."""
        return (*self.dataset.batch(indices)[:-1], self.targets[np.asarray(indices, np.int64)])


# ---------------------------------------------------------------- the distiller


class Distiller:
    """What a Trainer needs to train a student from a teacher: `learner`, `loss`, `metric`, `taught(loader)`.

    `teacher`: a Module, a LoadedProgram, or any function from inputs to logits; what it says is constant.
    `hidden`: paths of a module in the student and one in the teacher, a Module then, whose results are to be
    alike but for a Linear map, which counts `hint` times in the loss (see `hidden_loss`); both models need
    an `example_input`. `compile` makes a program of a teacher that is a Module. Raises CompressionError for
    a temperature, share or paths that cannot be.
    """

    def __init__(
        self,
        student: Module,
        teacher: Teacher,
        *,
        temperature: float = 4.0,
        hard: float = 0.1,
        hidden: tuple[str, str] | None = None,
        hint: float = 1.0,
        compile: Compile | None = None,
        seed: int = 0,
    ) -> None:
        self.student, self.teacher, self.hidden = student, teacher, hidden
        self.loss = TaughtLoss(temperature, hard)
        self.metric = TaughtAccuracy(self.loss)
        self.learner = student if hidden is None else self._hinted(student, hidden, hint, seed)
        wanted = compile is not None and isinstance(teacher, Module)
        self._ask = compile(self._asked) if compile is not None and wanted else self._asked

    def _hinted(self, student: Module, hidden: tuple[str, str], hint: float, seed: int) -> Module:
        teacher = self.teacher
        if not isinstance(teacher, Module):
            raise CompressionError("distill: hidden states are those of a Module; this teacher is none")
        shapes = []
        for model, path in zip((student, teacher), hidden, strict=True):
            if model.example_input is None or path not in dict(model.named_modules()):
                raise CompressionError(
                    f"distill: {type(model).__name__} has no example_input, or no module {path!r}"
                )
            with evaluating(model), no_grad():
                logits, state = with_hidden(model, path, model.example_input)
            shapes.append(state.shape[1:])
        ours, theirs = (shape[0] if len(shape) == 3 else shape[-1] for shape in shapes)
        projection = Linear(ours, theirs, generator=Generator(seed))
        self.loss.hinted(hint, projection, logits.shape[-1], shapes)
        return _Learner(student, hidden[0], projection)

    def _asked(self, *inputs: Tensor) -> Tensor:
        if self.hidden is None or not isinstance(self.teacher, Module):
            return self.teacher(*inputs)  # type: ignore[no-any-return]
        return _row(*with_hidden(self.teacher, self.hidden[1], *inputs))

    def targets(self, batch: Arrays) -> Arrays:
        """A batch of arrays with what the teacher says of it behind its labels: see `TaughtLoss`."""
        inputs, labels = map(Tensor, batch[:-1]), batch[-1]
        mode = evaluating(self.teacher) if isinstance(self.teacher, Module) else nullcontext()
        with mode, no_grad():
            said = self._ask(*inputs)
        if not isinstance(said, Tensor) or said.shape[:-1] != labels.shape or labels.dtype.kind != "i":
            what = said.shape if isinstance(said, Tensor) else type(said).__name__
            raise CompressionError(
                f"distill: the teacher gives {what} for labels {labels.shape} of {labels.dtype}; "
                "expected logits, a row for each label, and labels that are integers"
            )
        return *batch[:-1], np.concatenate([labels[..., None].astype(np.float32), said.data], -1)

    def taught(self, train: Iterable[Batch]) -> Iterable[Batch]:
        """The same batches with the targets of `TaughtLoss`.

        A DataLoader stays one, with its order and seed. Without a transform or `collate` the teacher is asked
        once about each sample, else about each batch as the transform left it. Of any other iterable the
        batches are gone through once, and kept.
        """
        if not isinstance(train, DataLoader):
            return [tuple(map(Tensor, self.targets(tuple(t.data for t in batch)))) for batch in train]
        fixed = train.transform is None and train.collate is None and self.hidden is None
        return DataLoader(
            TaughtDataset(train.dataset, self.targets) if fixed else train.dataset,
            train.batch_size,
            train.shuffle,
            train.drop_last,
            train.seed,
            train.collate,
            None if fixed else _then(train.transform, self.targets),
            train.prefetch,
        )


def _then(
    first: Callable[[Arrays, np.random.Generator], Arrays] | None, targets: Callable[[Arrays], Arrays]
) -> Callable[[Arrays, np.random.Generator], Arrays]:
    return lambda batch, rng: targets(batch if first is None else first(batch, rng))


def distill(
    student: Module,
    teacher: Teacher,
    train: Iterable[Batch],
    *,
    epochs: int,
    validation: Iterable[Batch] | None = None,
    temperature: float = 4.0,
    hard: float = 0.1,
    hidden: tuple[str, str] | None = None,
    hint: float = 1.0,
    recipe: Recipe = RECIPE,
    compile: Compile | None = None,
    seed: int = 0,
    resume: bool = False,
    **options: Any,
) -> History:
    """Train a student, in place, from a teacher: by `distillation_loss` on each batch of `train`.

    `train`: batches of inputs and class numbers, best a DataLoader (see `Distiller.taught`); `validation`:
    batches of the same kind, where loss and accuracy are those on labels alone. `recipe`: learning rate, its
    schedule, weight decay and clipping. `hidden`, `hint`, `compile`: see `Distiller`; `options` are those of
    `Trainer`, such as `checkpoint` and `keep_best`. The student ends in evaluation mode. Raises what
    `Distiller` and `Trainer.fit` do.

    >>> from tinytorch.models import MLP
    >>> x = Generator(0).rand(8, 4)
    >>> history = distill(MLP((4, 2)), MLP((4, 9, 2)), [(x, Tensor([0, 1] * 4))], epochs=3)
    >>> len(history.losses)
    3
    """
    name = student._name
    try:
        with_teacher = Distiller(
            student,
            teacher,
            temperature=temperature,
            hard=hard,
            hidden=hidden,
            hint=hint,
            compile=compile,
            seed=seed,
        )
        loader = with_teacher.taught(train)
        optimizer = optimizer_for(with_teacher.learner, recipe)
        steps = epochs * len(loader)  # type: ignore[arg-type]
        schedule = schedule_for(optimizer, recipe, steps)
        trainer = Trainer(
            with_teacher.learner,
            optimizer,
            with_teacher.loss,
            schedule,
            metrics=(with_teacher.metric,),
            clip=recipe.clip,
            compile=compile,
            **{"description": "distill", **options},
        )
        return trainer.fit(loader, epochs, validation=validation, resume=resume)
    finally:
        student._rename(name)
        student.eval()
