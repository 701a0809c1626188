"""What can be profiled by name: models, files of weights, objects of the user's own."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tinytorch import models
from tinytorch.errors import ProfilingError, TinyTorchError
from tinytorch.nn.module import Module
from tinytorch.profiling.load import load

OWN = """
import tinytorch as tt
from beside import WIDTH
from tinytorch import nn

example_input = tt.ones(2, WIDTH)
model = nn.Linear(WIDTH, 3)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(WIDTH, 2)

    def forward(self, x):
        return self.layer(x)

def work(x):
    return x + 1

number = 3
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("WIDTH = 5\n")
    path = tmp_path / "my code.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt"])
def test_a_model_by_name_has_the_weights_that_ship(name: str) -> None:
    loaded = load(name)
    assert isinstance(loaded.function, Module)
    shipped = models.load_pretrained(name).state_dict()
    for key, tensor in loaded.function.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), shipped[key].numpy())
    assert loaded.args is None


def test_inputs_of_another_size() -> None:
    (x,) = load("cnn", batch=3).args or ()
    assert x.shape == (3, 1, 28, 28)
    (ids,) = load("gpt", batch=2, seq=16).args or ()
    assert ids.shape == (2, 16)
    assert ids.dtype.kind == "i"
    assert len(np.unique(ids.numpy())) > 5
    assert ids.numpy().min() >= 0


@pytest.mark.parametrize(
    ("what", "batch", "seq", "says"),
    [
        ("mlp", 0, None, "a batch or length of 0"),
        ("mlp", None, 8, "no sequence axis"),
        ("resnet", None, None, "'resnet' is no model: give mlp, cnn, gpt"),
        ("", None, None, "is no model"),
        ("nowhere.py:model", None, None, "there is no such file"),
    ],
)
def test_what_is_no_model(what: str, batch: int | None, seq: int | None, says: str) -> None:
    with pytest.raises(ProfilingError, match=says):
        load(what, batch, seq)


def test_weights_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    models.save_weights(models.MLP((4, 3)), path)
    loaded = load(str(path), batch=7)
    assert loaded.name == "mine"
    assert loaded.args is not None
    assert loaded.function(*loaded.args).shape == (7, 3)
    path.write_bytes(b"damaged")
    with pytest.raises(TinyTorchError, match="mine.safetensors"):
        load(str(path))


def test_objects_of_the_users_own_file(own: Path) -> None:
    for name, shape in (("model", (2, 3)), ("Net", (2, 2)), ("work", (2, 5))):
        loaded = load(f"{own}:{name}")
        assert loaded.name == name
        assert loaded.args is not None
        assert loaded.function(*loaded.args).shape == shape
        assert not loaded.is_torch
    assert str(own.parent) not in sys.path


def test_what_is_wrong_with_the_users_file_is_said_in_one_line(own: Path) -> None:
    with pytest.raises(ProfilingError, match="has no 'modell'; there are: Net, model, work"):
        load(f"{own}:modell")
    with pytest.raises(ProfilingError, match="number is int, neither a model nor a function"):
        load(f"{own}:number")
    own.write_text("1 / 0")
    with pytest.raises(ProfilingError, match="cannot be run: ZeroDivisionError: division by zero"):
        load(f"{own}:model")
    own.write_text("def f(:")
    with pytest.raises(ProfilingError, match="cannot be run: SyntaxError"):
        load(f"{own}:f")
    own.write_text("import sys\nsys.exit(3)")
    with pytest.raises(ProfilingError, match="cannot be run: SystemExit: 3"):
        load(f"{own}:f")
    own.write_text("def f(): return 1")
    with pytest.raises(ProfilingError, match="needs? a TinyTorch model"):
        load(f"{own}:f", batch=3)
