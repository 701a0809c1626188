"""Checkpoints: bit for bit the run that never stopped, whole files or none, refusals that change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tinytorch.data import DataLoader, TensorDataset
from tinytorch.errors import CheckpointError
from tinytorch.nn import CrossEntropyLoss, Dropout, Linear, Module, ReLU, Sequential
from tinytorch.optim import SGD, AdamW, CosineWithWarmup, Optimizer
from tinytorch.random import Generator, default_generator, manual_seed
from tinytorch.training import Accuracy, Stream, Trainer, load_weights, save_weights, write_whole

RNG = np.random.default_rng(0)
X = RNG.standard_normal((53, 3)).astype(np.float32)
DATA = TensorDataset(X, X.argmax(1))
HELD_OUT = DataLoader(TensorDataset(X[:20] * 2, X[:20].argmax(1)), 7)
STEPS = 21  # of 14 batches of 4 an epoch, two a step: three epochs


class Run:
    """A model with dropout, Adam, a schedule, shuffling and accumulation, and the trainer that owns them."""

    def __init__(self, path: Path, seed: int = 0, own_generator: bool = True, **options: Any) -> None:
        manual_seed(seed)
        self.dropout = Generator(seed + 1)
        self.model = Sequential(
            Linear(3, 8), ReLU(), Dropout(0.3, generator=self.dropout), Dropout(0.1), Linear(8, 3)
        )
        self.optimizer: Optimizer = AdamW(self.model.parameters(), lr=0.5 + seed)
        self.schedule = CosineWithWarmup(self.optimizer, 4, STEPS, min_ratio=0.5)
        self.loader = DataLoader(DATA, 4, shuffle=True, seed=seed, prefetch=1)
        self.trainer = Trainer(
            self.model,
            self.optimizer,
            CrossEntropyLoss(),
            schedule=self.schedule,
            metrics=[Accuracy()],
            clip=1.0,
            accumulate=2,
            checkpoint=path,
            evaluate_every=5,
            keep_best="loss",
            generators={"dropout": self.dropout} if own_generator else {},
            **options,
        )

    def fit(self, steps: int = STEPS, resume: bool = False) -> None:
        self.trainer.fit(self.loader, steps=steps, validation=HELD_OUT, resume=resume)

    def state(self) -> dict[str, Any]:
        """Everything that a step changes."""
        found: dict[str, Any] = {f"model.{k}": t.numpy() for k, t in self.model.state_dict().items()}
        for k, v in self.optimizer.state_dict().items():
            found[f"optimizer.{k}"] = v.numpy() if not isinstance(v, int | float | tuple | bool) else v
        found["schedule"] = self.schedule.state_dict()
        found["loader"] = self.loader.state_dict()
        found["generators"] = [default_generator.state.tolist(), self.dropout.state.tolist()]
        return found


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


class PowerCutError(Exception):
    pass


def stopped_at(run: Run, step: int) -> None:
    """Train with a checkpoint after each step, until the power goes off in the middle of step + 1."""
    backward = run.trainer.loss
    calls = 0

    def loss(logits: Any, labels: Any) -> Any:
        nonlocal calls
        if run.model.training:
            calls += 1
            if run.trainer.progress.step == step and (calls % 2 == 0 or step == STEPS - 1):
                raise PowerCutError
        return backward(logits, labels)

    run.trainer.loss = loss
    run.trainer.checkpoint_every = 1
    with pytest.raises(PowerCutError):
        run.fit()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[float], list[Any]]:
    run = Run(tmp_path_factory.mktemp("whole") / "run.safetensors")
    run.fit()
    figures = [
        {k: v for k, v in e.items() if k != "seconds"} for e in run.trainer.progress.history.validation
    ]
    best = run.trainer.progress.history.best("loss", higher_is_better=False)
    assert best["step"] < 20, "the best weights come from before some of the stops"
    return run.state(), run.trainer.progress.history.losses, figures


@pytest.mark.parametrize("step", [0, 1, 3, 6, 7, 8, 13, 14, 20])
def test_a_run_stopped_anywhere_and_resumed_is_bit_for_bit_the_same(
    step: int, tmp_path: Path, unbroken: tuple[dict[str, Any], list[float], list[Any]]
) -> None:
    path = tmp_path / "run.safetensors"
    stopped_at(Run(path), step)
    resumed = Run(path, seed=77)  # nothing of it may count
    resumed.fit(resume=True)
    state, losses, figures = unbroken
    assert_same(resumed.state(), state)
    history = resumed.trainer.progress.history
    assert history.losses == losses
    assert [{k: v for k, v in e.items() if k != "seconds"} for e in history.validation] == figures


def test_the_test_above_would_notice_a_generator_that_is_not_stored(
    tmp_path: Path, unbroken: tuple[dict[str, Any], list[float], list[Any]]
) -> None:
    path = tmp_path / "run.safetensors"
    stopped_at(Run(path, own_generator=False), 7)
    resumed = Run(path, seed=77, own_generator=False)
    resumed.fit(resume=True)
    with pytest.raises(AssertionError):
        assert_same(resumed.state(), unbroken[0])


def test_a_stream_goes_on_where_it_stood(tmp_path: Path) -> None:
    class Source:
        seed = 3

        def batch(self, step: int) -> tuple[Any, ...]:
            rows = np.random.default_rng([self.seed, step]).integers(0, len(X), 4)
            return X[rows], X[rows].argmax(1)

    def trainer(seed: int) -> Trainer:
        model = Linear(3, 3, generator=Generator(seed))
        return Trainer(
            model, SGD(model.parameters(), 0.1, momentum=0.9), CrossEntropyLoss(), checkpoint=tmp_path / "r"
        )

    whole, first, second = trainer(0), trainer(0), trainer(5)
    whole.fit(Stream(Source()), steps=10)
    first.fit(Stream(Source()), steps=4)
    second.fit(Stream(Source()), steps=10, resume=True)
    assert second.progress.history.losses == whole.progress.history.losses
    other = Source()
    other.seed = 4
    with pytest.raises(CheckpointError, match="seed"):
        trainer(0).fit(Stream(other), steps=10, resume=True)


# ---------------------------------------------------------------- refusals


def _entry(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any], dict[str, str]], None]:
    def spoil(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
        changed = change(tensors.pop(name, np.zeros(1, np.float32)))
        if changed is not None:
            tensors[name] = changed

    return spoil


def _fact(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, str]], None]:
    def spoil(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
        facts = json.loads(metadata["state"])
        if value is None:
            del facts[name]
        else:
            facts[name] = value
        metadata["state"] = json.dumps(facts)

    return spoil


SPOILT: dict[str, tuple[Callable[[dict[str, Any], dict[str, str]], None], str]] = {
    "foreign": (lambda tensors, metadata: metadata.clear(), "no training checkpoint"),
    "newer": (lambda tensors, metadata: metadata.update(version="2"), "version 2"),
    "no version": (lambda tensors, metadata: metadata.pop("version"), "version"),
    "no state": (lambda tensors, metadata: metadata.pop("state"), "state"),
    "broken state": (lambda tensors, metadata: metadata.update(state="{"), "state"),
    "state that is a list": (lambda tensors, metadata: metadata.update(state="[]"), "state"),
    "weight missing": (_entry("model.0.weight", lambda a: None), "missing 0.weight"),
    "weight extra": (_entry("model.other", lambda a: a), "unexpected other"),
    "weight misshapen": (_entry("model.0.weight", lambda a: a[:-1]), r"0.weight is float32\(7, 3\)"),
    "weight of another dtype": (_entry("model.0.weight", lambda a: a.astype(np.float64)), "float64"),
    "moment missing": (_entry("optimizer.state.0.exp_avg", lambda a: None), "missing exp_avg"),
    "moment misshapen": (_entry("optimizer.state.0.exp_avg", lambda a: a[:-1]), "state.0.exp_avg"),
    "rate missing": (_entry("optimizer.groups.0.lr", lambda a: None), "missing groups.0.lr"),
    "best misshapen": (_entry("best.4.bias", lambda a: a[:-1]), "best model"),
    "generator missing": (_entry("generator.dropout", lambda a: None), "missing dropout"),
    "generator misshapen": (_entry("generator.default", lambda a: a[:-1]), "default"),
    "unknown entry": (_entry("thing", lambda a: a), "unexpected entry thing"),
    "another optimizer": (_fact("optimizer", "SGD"), "SGD"),
    "schedule of another kind": (_fact("schedule", {"count": 3}), "schedule"),
    "loader elsewhere": (_fact("loader", {"epoch": 0, "batch": 99, "seed": 0}), "DataLoader"),
    "step below 0": (_fact("step", -1), "step"),
    "no step": (_fact("step", None), "step"),
    "history cut off": (_fact("history", {"steps": [1]}), "history"),
    "best that is no number": (_fact("best", "high"), "damaged"),
    "options that are no table": (_fact("options", [1]), "damaged"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "run.safetensors"
    Run(path).fit(steps=8)
    return path


@pytest.mark.parametrize("how", SPOILT)
def test_a_checkpoint_that_does_not_fit_changes_nothing(how: str, good: Path, tmp_path: Path) -> None:
    spoil, message = SPOILT[how]
    tensors = load_file(good)
    with safe_open(good, "numpy") as file:
        metadata = dict(file.metadata())
    spoil(tensors, metadata)
    path = tmp_path / "run.safetensors"
    save_file(tensors, path, metadata)
    run = Run(path, seed=5)
    before = run.state()
    with pytest.raises(CheckpointError, match=message) as caught:
        run.fit(resume=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_same(run.state(), before)


@given(st.data())
def test_a_cut_off_or_garbled_file_changes_nothing(
    good: Path, tmp_path_factory: Any, data: st.DataObject
) -> None:
    content = good.read_bytes()
    end = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.getbasetemp() / "garbled.safetensors"
    garbled = content[:end] + data.draw(st.sampled_from([b"", b"\0", b"{}" * 8]))
    assume(len(garbled) != len(content))
    path.write_bytes(garbled)
    run = Run(path, seed=5)
    before = run.state()
    with pytest.raises(CheckpointError):
        run.fit(resume=True)
    assert_same(run.state(), before)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        Run(Path("nowhere") / "run.safetensors").fit(resume=True)


# ---------------------------------------------------------------- writing


FULL_DISK = """
import resource, sys
from pathlib import Path
from tinytorch.errors import CheckpointError
from tinytorch.nn import Linear
from tinytorch.training import save_weights
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_weights(Linear(100, 100), sys.argv[1])
except CheckpointError as error:
    sys.exit(0 if "unchanged" in str(error) else 3)
sys.exit(4)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"old")
    code = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=False).returncode
    assert code == 0
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_while_writing_leaves_the_old_file_and_no_other(
    call: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "weights.safetensors"
    write_whole(path, b"old")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(*((os, "fsync", fail) if call == "fsync" else (Path, "replace", fail)))
    expected = CheckpointError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_whole(tmp_path / "file" / "weights", b"new")


def test_a_run_that_cannot_write_its_checkpoint_says_so_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    run = Run(tmp_path / "file" / "run.safetensors")
    with pytest.raises(CheckpointError, match="cannot be written"):
        run.fit()
    assert run.trainer.progress.step == 0


# ---------------------------------------------------------------- weights alone


def test_weights_come_back_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    one, two = Linear(5, 7, generator=Generator(1)), Linear(5, 7, generator=Generator(2))
    save_weights(one, path)
    load_weights(two, path)
    np.testing.assert_array_equal(one.weight.data, two.weight.data)
    assert {k: v.shape for k, v in load_file(path).items()} == {"weight": (7, 5), "bias": (7,)}


@pytest.mark.parametrize("change", ["missing", "extra", "misshapen", "cut off"])
def test_weights_that_do_not_fit_change_nothing(change: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = {"weight": np.ones((7, 5), np.float32), "bias": np.ones(7, np.float32)}
    if change == "missing":
        del tensors["bias"]
    elif change == "extra":
        tensors["other"] = np.ones(1)
    elif change == "misshapen":
        tensors["bias"] = np.ones(6, np.float32)
    save_file(tensors, path)
    if change == "cut off":
        path.write_bytes(path.read_bytes()[:-3])
    model: Module = Linear(5, 7)
    before = [p.numpy() for p in model.parameters()]
    with pytest.raises(CheckpointError, match="weights.safetensors"):
        load_weights(model, path)
    for old, p in zip(before, model.parameters(), strict=True):
        np.testing.assert_array_equal(old, p.data)
