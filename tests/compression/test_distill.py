"""Distillation: losses against float64 NumPy, packed rows, and students that learn from a teacher."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

import tinytorch as tt
from tinytorch import data, nn
from tinytorch.acceleration.loaded import load_program
from tinytorch.compression.distill import (
    Distiller,
    TaughtLoss,
    distill,
    distillation_loss,
    hidden_loss,
    with_hidden,
)
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.errors import CompressionError, ShapeError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.ops.context import OpEvent, observe
from tinytorch.random import Generator
from tinytorch.training.metrics import Accuracy, evaluate
from tinytorch.training.recipes import Recipe, optimizer_for, schedule_for
from tinytorch.training.trainer import Trainer


def wanted_loss(s: np.ndarray, t: np.ndarray, labels: np.ndarray, temperature: float, hard: float) -> float:
    """In float64, by the definitions."""
    q, log_q = softmax(t / temperature, -1), log_softmax(t / temperature, -1)
    soft = (q * (log_q - log_softmax(s / temperature, -1))).sum(-1).mean() * temperature**2
    true = -np.take_along_axis(log_softmax(s, -1), labels[..., None], -1).mean()
    return float((1 - hard) * soft + hard * true)


@given(st.integers(1, 4), st.integers(1, 5), st.floats(0.25, 20), st.floats(0, 1), st.integers(0, 999))
def test_loss(rows: int, classes: int, temperature: float, hard: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, t = rng.normal(size=(2, rows, classes)) * 5
    labels = rng.integers(0, classes, rows)
    found = distillation_loss(tt.Tensor(s), tt.Tensor(t), tt.Tensor(labels), temperature, hard)
    np.testing.assert_allclose(float(found.item()), wanted_loss(s, t, labels, temperature, hard), atol=1e-9)


def test_gradient_goes_to_the_student_alone_and_keeps_its_size_at_any_temperature() -> None:
    rng = np.random.default_rng(0)
    t, labels = rng.normal(size=(6, 5)), tt.Tensor(rng.integers(0, 5, 6))
    norms = []
    for temperature in (50.0, 100.0):
        s = tt.Tensor(rng.normal(size=(6, 5)), requires_grad=True)
        teacher = tt.Tensor(t, requires_grad=True)
        distillation_loss(s, teacher, labels, temperature, 0.0).backward()
        assert teacher.grad is None
        # at high temperature it is that of the squared difference of centred logits, / classes (Hinton, 2015)
        centred = [x - x.mean(-1, keepdims=True) for x in (s.data, t)]
        wanted = (centred[0] - centred[1]) / 5 / 6
        np.testing.assert_allclose(s.grad.data, wanted, atol=0.1 * np.abs(wanted).max())
        norms.append(np.linalg.norm(s.grad.data))
    assert 0.4 < norms[0] / norms[1] < 2.5


def test_large_logits_stay_finite() -> None:
    s = tt.Tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = distillation_loss(s, tt.Tensor([[-1e4, 1e4, 0.0]]), tt.Tensor([0]), 1.0, 0.5)
    loss.backward()
    assert np.isfinite(loss.data)
    assert np.isfinite(s.grad.data).all()
    same = distillation_loss(s, s, tt.Tensor([0]), 3.0, 0.0)
    assert float(same.item()) == 0.0


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"temperature": 0.0}, CompressionError, "temperature 0"),
        ({"temperature": float("nan")}, CompressionError, "temperature"),
        ({"hard": -0.1}, CompressionError, "hard"),
        ({"hard": 1.5}, CompressionError, "hard"),
        ({"teacher": tt.ones(2, 4)}, ShapeError, r"\(2, 3\), teacher \(2, 4\)"),
        ({"labels": tt.Tensor([0])}, ShapeError, r"labels \(1,\)"),
    ],
)
def test_bad_arguments(options: dict, error: type[Exception], match: str) -> None:
    given = {
        "teacher": tt.ones(2, 3),
        "labels": tt.Tensor([0, 1]),
        "temperature": 2.0,
        "hard": 0.1,
        **options,
    }
    with pytest.raises(error, match=match):
        distillation_loss(
            tt.ones(2, 3), given["teacher"], given["labels"], given["temperature"], given["hard"]
        )


def test_hidden_loss() -> None:
    rng = np.random.default_rng(0)
    ours, theirs, w = rng.normal(size=(2, 7, 3)), rng.normal(size=(2, 7, 5)), rng.normal(size=(5, 3))
    found = hidden_loss(tt.Tensor(ours), tt.Tensor(theirs), lambda h: h @ tt.Tensor(w).mT)
    np.testing.assert_allclose(float(found.item()), np.square(ours @ w.T - theirs).mean(), rtol=1e-12)
    with pytest.raises(ShapeError, match="besides"):
        hidden_loss(tt.ones(2, 3, 4, 4), tt.ones(2, 3, 5, 5), lambda h: h)


def test_hidden_states_are_those_of_the_module() -> None:
    model = MLP((6, 5, 4, 3), generator=Generator(0))
    x = Generator(1).rand(2, 6)
    result, hidden = with_hidden(model, "layers.1", x)
    assert np.array_equal(result.data, model(x).data)
    assert np.array_equal(hidden.data, model.layers[1](model.layers[0](x)).data)
    hidden.sum().backward()
    assert model.layers[0].weight.grad is not None
    gpt = GPT(vocab_size=9, context=4, width=8, heads=2, layers=2)
    assert with_hidden(gpt, "blocks.0", tt.Tensor([[1, 2, 3]]))[1].shape == (1, 3, 8)
    with pytest.raises(CompressionError, match="no op runs in 'layers.9'"):
        with_hidden(model, "layers.9", x)


# ---------------------------------------------------------------- training


def images(count: int = 96, seed: int = 0) -> TensorDataset:
    """Two blobs an image, whose distance says the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    x = rng.normal(size=(count, 1, 8, 8)).astype(np.float32) * 0.3
    x[np.arange(count), 0, labels, labels] += 2
    return TensorDataset(x, labels)


def loader(**options: object) -> DataLoader:
    return DataLoader(images(), 32, shuffle=True, seed=3, **options)


def networks() -> tuple[MLP, MLP]:
    return MLP((64, 6, 4), generator=Generator(0)), MLP((64, 30, 4), generator=Generator(1))


RECIPE = Recipe(batch=32, lr=1e-2, weight_decay=0.0)


def by_hand(student: MLP, teacher: MLP, batches: list, temperature: float, hard: float) -> list[float]:
    """The same training without any of what is tested."""
    optimizer = optimizer_for(student, RECIPE)
    schedule = schedule_for(optimizer, RECIPE, len(batches))
    losses = []
    for step, (x, y) in enumerate(batches):
        schedule.at(step)
        optimizer.zero_grad()
        loss = distillation_loss(student(x), teacher(x).detach(), y, temperature, hard)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.item()))
    return losses


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("flipped", [False, True])
def test_training_is_that_of_the_loss_on_each_batch(compiled: bool, flipped: bool) -> None:
    options = {"transform": data.transforms.random_flip()} if flipped else {}
    (student, teacher), (twin, _) = networks(), networks()
    history = distill(
        student,
        teacher,
        loader(**options),
        epochs=3,
        temperature=2.0,
        hard=0.3,
        recipe=RECIPE,
        compile=tt.compile if compiled else None,
    )
    same = loader(**options)
    batches = [batch for _ in range(3) for batch in same]
    wanted = by_hand(twin, teacher, batches, 2.0, 0.3)
    np.testing.assert_allclose(history.losses, wanted, atol=1e-4)
    for a, b in zip(student.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-4)
    assert not student.training


def test_teacher_stays_and_is_asked_once_about_each_sample() -> None:
    student, teacher = networks()
    before = {name: t.numpy() for name, t in teacher.state_dict().items()}
    teacher.train()
    asked = []

    def function(x: tt.Tensor) -> tt.Tensor:
        asked.append(len(x))
        return teacher(x)

    distill(student, function, loader(), epochs=4)
    assert sum(asked) == 96
    distill(student, teacher, loader(), epochs=1)
    assert teacher.training
    assert all(np.array_equal(before[name], t.data) for name, t in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_teacher_speaks_as_in_evaluation() -> None:
    student, _ = networks()
    teacher = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(64, 4))
    seen = Distiller(student, teacher).targets(images().batch(range(5)))[-1]
    with_none_dropped = teacher.eval()(tt.Tensor(images().batch(range(5))[0]))
    np.testing.assert_allclose(seen[:, 1:], with_none_dropped.data, atol=1e-6)
    assert np.array_equal(seen[:, 0], images().batch(range(5))[1])


def test_any_teacher_and_any_batches(tmp_path: Path) -> None:
    teacher = networks()[1]
    batches = list(loader())
    program = tt.compile(teacher.eval())
    x = batches[0][0]
    program(x)
    program.save(tmp_path / "teacher.ttp")
    losses = []
    for one in (teacher, load_program(tmp_path / "teacher.ttp"), lambda x: teacher(x)):
        losses.append(distill(networks()[0], one, batches, epochs=2, recipe=RECIPE).losses)
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-5)
    np.testing.assert_allclose(losses[2], losses[0], atol=1e-6)


def test_validation_is_on_labels() -> None:
    student, teacher = networks()
    validation = list(DataLoader(images(seed=9), 32))
    history = distill(student, teacher, loader(), epochs=2, validation=validation, recipe=RECIPE)
    wanted = evaluate(student, validation, nn.CrossEntropyLoss(), [Accuracy()])
    last = history.validation[-1]
    np.testing.assert_allclose(
        [last["loss"], last["accuracy"]], [wanted["loss"], wanted["accuracy"]], atol=1e-6
    )


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    teacher = networks()[1]
    file = tmp_path / "run.safetensors"
    whole, part = networks()[0], networks()[0]
    options = {"recipe": RECIPE, "checkpoint": file}
    distill(whole, teacher, loader(), epochs=4, **options)
    distiller = Distiller(part, teacher)
    optimizer = optimizer_for(part, RECIPE)
    schedule = schedule_for(optimizer, RECIPE, 12)
    Trainer(part, optimizer, distiller.loss, schedule, checkpoint=file).fit(
        distiller.taught(loader()), epochs=4, steps=5
    )
    again = networks()[0]
    distill(again, teacher, loader(), epochs=4, resume=True, **options)
    for a, b in zip(again.parameters(), whole.parameters(), strict=True):
        assert np.array_equal(a.data, b.data)


@pytest.mark.parametrize("compiled", [False, True])
def test_hidden_states_are_learned(compiled: bool) -> None:
    student, teacher = networks()
    options = {"hidden": ("layers.1", "layers.1"), "recipe": RECIPE, "temperature": 2.0}
    compile = tt.compile if compiled else None
    distiller = Distiller(student, teacher, hidden=("layers.1", "layers.1"), temperature=2.0, hint=3.0)
    x, target = next(iter(distiller.taught(loader())))
    projection = distiller.learner.projection
    assert projection.weight.shape == (30, 6)
    out = distiller.learner(x)
    ours, theirs = (m.layers[1](m.layers[0](x.reshape(-1, 64))) for m in (student, teacher))
    wanted = distillation_loss(student(x), teacher(x), target[..., 0].to("int64"), 2.0, 0.1)
    wanted = wanted + hidden_loss(ours, theirs, projection) * 3.0
    np.testing.assert_allclose(distiller.loss(out, target).data, wanted.data, rtol=1e-5)
    grads = []
    for loss in (distiller.loss(out, target), wanted):
        student.zero_grad()
        projection.zero_grad()
        loss.backward()
        parts = student.layers[0].weight, student.layers[2].weight, projection.weight
        grads.append([part.grad.numpy() for part in parts])
    for ours, theirs in zip(*grads, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    history = distill(student, teacher, loader(), epochs=15, compile=compile, hint=30.0, **options)
    assert history.losses[-1] < 0.5 * history.losses[0]


def test_hidden_states_of_images() -> None:
    student, teacher = (CNN(num_classes=4, image_size=8, generator=Generator(i)) for i in range(2))
    history = distill(student, teacher, loader(), epochs=1, hidden=("conv2", "conv2"), recipe=RECIPE)
    assert np.isfinite(history.losses).all()
    assert dict(student.named_modules())["conv2"] is student.conv2


def test_the_student_keeps_its_names() -> None:
    student, teacher = networks()
    distill(student, teacher, loader(), epochs=1, hidden=("layers.1", "layers.1"))

    class Paths:
        def __init__(self) -> None:
            self.seen: set[str] = set()

        def on_op(self, event: OpEvent) -> None:
            self.seen.add(event.path)

        def on_exit(self, tensor: tt.Tensor, how: str) -> None:
            pass

    watch = Paths()
    with observe(watch):
        student(tt.ones(1, 64))
    assert "layers.0" in watch.seen
    assert set(dict(student.named_parameters())) == set(dict(networks()[0].named_parameters()))


def test_language_models() -> None:
    student, teacher = (
        GPT(vocab_size=12, context=6, width=8 * n, heads=2, layers=1, generator=Generator(n)) for n in (1, 2)
    )
    ids = np.random.default_rng(0).integers(0, 12, (16, 7))
    batches = [(tt.Tensor(ids[:, :-1]), tt.Tensor(ids[:, 1:]))]
    history = distill(student, teacher, batches, epochs=30, hard=0.0, temperature=1.0, recipe=RECIPE)
    assert history.losses[-1] < 0.5 * history.losses[0]


def test_a_student_learns_what_labels_do_not_say() -> None:
    student, teacher = networks()
    teacher.layers[2].weight.assign_(teacher.layers[2].weight * 20.0)
    dataset = images()
    wrong = TensorDataset(dataset.arrays[0], np.zeros(96, np.int64))
    distill(
        student,
        teacher,
        DataLoader(wrong, 32, shuffle=True),
        epochs=100,
        hard=0.0,
        temperature=1.0,
        recipe=RECIPE,
    )
    x = tt.Tensor(dataset.arrays[0])
    agreed = (student(x).data.argmax(1) == teacher(x).data.argmax(1)).mean()
    assert agreed > 0.9


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"hard": 2.0}, "hard"),
        ({"hidden": ("layers.9", "layers.0")}, "layers.9"),
        ({"teacher": lambda x: x.sum(), "hidden": ("layers.0", "layers.0")}, "Module"),
        ({"teacher": lambda x: x.sum()}, "teacher gives"),
        ({"teacher": lambda x: x.data}, "teacher gives ndarray"),
        ({"train": [(tt.ones(2, 64), tt.ones(2))]}, "integers"),
    ],
)
def test_bad_requests(options: dict, match: str) -> None:
    student, teacher = networks()
    given = {"teacher": teacher, "train": loader(), "epochs": 1, **options}
    before = {name: t.numpy() for name, t in student.state_dict().items()}
    with pytest.raises(CompressionError, match=match):
        distill(student, **given)
    assert all(np.array_equal(before[name], t.data) for name, t in student.state_dict().items())


def test_rows_are_split_again() -> None:
    loss = TaughtLoss(2.0, 0.5)
    target = tt.Tensor(np.array([[3.0, 0.1, 0.2, 0.3, 0.4]], np.float32))
    logits, labels = loss.split(tt.ones(1, 4), target)
    assert (logits.shape, labels.data.tolist(), labels.dtype.kind) == ((1, 4), [3], "i")
