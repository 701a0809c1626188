"""Files that appear whole or not at all, and what a checkpoint is put together from."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import line

from tinytorch.errors import CheckpointError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn import BatchNorm2d, Linear, Sequential
from tinytorch.optim import SGD, Adam
from tinytorch.random import Generator
from tinytorch.tensor import Tensor
from tinytorch.training.checkpoint import Parts, sections
from tinytorch.training.files import write_whole

# ---------------------------------------------------------------- write_whole


def names(folder):
    """The names of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


@exercise("write_whole")
def test_the_content_and_nothing_else(tmp_path):
    path = tmp_path / "run.bin"
    expect.value("write_whole(path, b'first, and longer')")
    expect.equal("path.read_bytes()", b"first, and longer")
    expect.value("write_whole(str(path), b'second')")
    expect.equal("path.read_bytes()", b"second")
    expect.equal("names(tmp_path)", ["run.bin"])


@exercise("write_whole")
def test_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "run.bin"
    expect.value("write_whole(path, b'x')")
    expect.equal("path.read_bytes()", b"x")
    expect.equal("names(tmp_path / 'a' / 'b')", ["run.bin"])


@exercise("write_whole")
def test_the_old_file_is_replaced_not_overwritten(tmp_path):
    path, other_name = tmp_path / "run.bin", tmp_path / "link.bin"
    path.write_bytes(b"old")
    os.link(path, other_name)
    expect.value("write_whole(path, b'new')")
    expect.equal("path.read_bytes()", b"new")
    expect.equal("other_name.read_bytes()", b"old")


@exercise("write_whole")
def test_a_target_that_cannot_be_replaced(tmp_path):
    path = tmp_path / "run.bin"
    path.mkdir()
    (path / "inside").write_bytes(b"x")
    expect.raises("write_whole(path, b'new')", CheckpointError, "run.bin")
    expect.equal("names(tmp_path)", ["run.bin"])
    expect.equal("names(path)", ["inside"])


@exercise("write_whole")
def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    path = tmp_path / "file" / "run.bin"
    expect.raises("write_whole(path, b'new')", CheckpointError, "run.bin")


def with_little_room(path, content):
    """Write under a limit of 4 KB for the size of any file, as a disk that fills up."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        write_whole(path, content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@exercise("write_whole")
def test_a_disk_that_fills_up(tmp_path):
    pytest.importorskip("resource", reason="this machine has no limit for the size of files")
    path = Path(tmp_path / "run.bin")
    path.write_bytes(b"old")
    content = b"new" * 5000
    expect.raises("with_little_room(path, content)", CheckpointError, "run.bin")
    expect.equal("path.read_bytes()", b"old")
    expect.equal("names(tmp_path)", ["run.bin"])


def files_at_each_fsync(path, content):
    """Write; what all the files of the folder held whenever os.fsync was called."""
    found = []

    def note(frame, event, called):
        if event == "c_call" and called.__name__ in ("fsync", "fdatasync"):
            found.append(sorted(file.read_bytes() for file in path.parent.iterdir()))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        write_whole(path, content)
    finally:
        sys.setprofile(before)
    return found


@exercise("write_whole")
def test_on_the_disk_beside_the_old_file_before_it_is_renamed(tmp_path):
    path = tmp_path / "run.bin"
    path.write_bytes(b"old")
    expect.equal("files_at_each_fsync(path, b'new')[:1]", [[b"new", b"old"]])


# ---------------------------------------------------------------- Parts.tensors


def parts_of(model, optimizer):
    return Parts(model, optimizer, None, {"default": Generator(1), "other": Generator(2)})


@exercise("Parts.tensors")
def test_model_and_generators():
    model = line((1.0, 2.0), 3.0)
    parts = parts_of(model, SGD(model.parameters(), lr=0.25))
    found = expect.value("parts.tensors({})")
    want = ["generator.default", "generator.other", "model.bias", "model.weight", "optimizer.groups.0.lr"]
    expect.equal("sorted(found)", want)
    expect.close("found['model.weight']", np.array([[1.0, 2.0]]))
    expect.close("found['model.bias']", [3.0])
    expect.close("found['optimizer.groups.0.lr']", 0.25)
    expect.equal("found['generator.other']", Generator(2).state.numpy())
    expect.equal("found['generator.default']", Generator(1).state.numpy())
    expect.true("all(isinstance(a, np.ndarray) for a in found.values())", "all of them are NumPy arrays")


@exercise("Parts.tensors")
def test_best_weights():
    model = line()
    parts = parts_of(model, SGD(model.parameters(), lr=0.1))
    best = {"weight": np.array([[5.0, 6.0]]), "bias": np.array([7.0])}
    found = expect.value("parts.tensors(best)")
    expect.close("found['best.weight']", np.array([[5.0, 6.0]]))
    expect.close("found['best.bias']", [7.0])
    expect.close("found['model.bias']", [0.0])


@exercise("Parts.tensors")
def test_moments_and_buffers():
    model = Sequential(Linear(2, 3), BatchNorm2d(4))
    optimizer = Adam(model.parameters(), lr=0.1)
    first = next(iter(model.parameters()))
    first.grad = Tensor(np.ones(first.shape, np.float32))
    optimizer.step()
    parts = parts_of(model, optimizer)
    found = expect.value("parts.tensors({})")
    expect.close("found['optimizer.state.0.exp_avg']", np.full(first.shape, 0.1))
    expect.close("found['optimizer.state.0.step']", 1)
    expect.true("'optimizer.groups.0.betas' not in found", "options that are no Tensors stay out")
    running = [name for name in found if name.startswith("model.1.running")]
    expect.true("len(running) >= 2", "the running statistics of batch norm, which are buffers, are there")


# ---------------------------------------------------------------- sections


@exercise("sections")
def test_names_without_their_section():
    a, b, c, d = (np.full(2, float(i)) for i in range(4))
    tensors = {"model.0.weight": a, "best.0.weight": b}
    tensors |= {"optimizer.state.0.exp_avg": c, "generator.default": d}
    found = expect.value("sections(tensors)")
    expect.equal("sorted(found)", ["best", "generator", "model", "optimizer"])
    expect.equal("sorted(found['model'])", ["0.weight"])
    expect.close("found['model']['0.weight']", a)
    expect.close("found['best']['0.weight']", b)
    expect.close("found['optimizer']['state.0.exp_avg']", c)
    expect.close("found['generator']['default']", d)


@exercise("sections")
def test_sections_may_be_empty():
    tensors = {"model.weight": np.ones(1), "model.bias": np.ones(1)}
    found = expect.value("sections(tensors)")
    expect.equal(
        "{name: sorted(arrays) for name, arrays in found.items()}",
        {
            "model": ["bias", "weight"],
            "best": [],
            "optimizer": [],
            "generator": [],
        },
    )
    expect.equal("sorted(sections({}))", ["best", "generator", "model", "optimizer"])


@exercise("sections")
def test_names_of_no_section():
    expect.raises("sections({'modell.weight': np.ones(1)})", CheckpointError, "modell.weight")
    expect.raises("sections({'weight': np.ones(1)})", CheckpointError, "weight")


@exercise("sections")
def test_there_and_back():
    model = line((1.0, 2.0), 3.0)
    parts = parts_of(model, SGD(model.parameters(), lr=0.25))
    found = expect.value("sections(parts.tensors({'weight': np.zeros(2)}))")
    expect.close("found['model']['bias']", [3.0])
    expect.equal("sorted(found['generator'])", ["default", "other"])
    expect.close("found['best']['weight']", [0.0, 0.0])
