"""The contract that keeps a file to lower lessons: it names every file, and it breaks when it should."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tinytorch"


def test_every_op_and_nn_file_has_its_lesson() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    named = {part.strip(" ()") for layer in contract["layers"] for part in layer.replace("|", ":").split(":")}
    files = {
        f"{folder}.{file.stem}"
        for folder in contract["exhaustive_ignores"]
        for file in (PACKAGE / folder).glob("*.py")
        if file.stem != "__init__"
    }
    assert files <= named


@pytest.mark.parametrize(
    ("file", "line", "code"),
    [
        ("tensor.py", "", 0),
        ("tensor.py", "import tinytorch.data.loader", 1),
        ("errors.py", "from tinytorch.ops.base import Spec", 1),
        ("ops/base.py", "from tinytorch import Tensor", 1),
        ("data/loader.py", "from tinytorch import cli", 1),
        ("cli/data.py", "from tinytorch.tensor import Tensor", 0),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, line: str, code: int) -> None:
    shutil.copytree(
        PACKAGE,
        tmp_path / "tinytorch",
        ignore=lambda _, names: [n for n in names if "." in n and not n.endswith(".py")],
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "tinytorch" / file
    planted.write_text(f"{planted.read_text()}\n\ndef planted():\n    {line or 'pass'}\n")
    tool = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    run = subprocess.run(tool, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False)
    assert run.returncode == code, run.stdout + run.stderr
    assert ("BROKEN" in run.stdout) == bool(code)
