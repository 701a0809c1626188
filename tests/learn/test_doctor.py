"""What is looked at, and what is said of what is wrong."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tests.learn.tiny import in_course, write_course
from tinytorch.learn import doctor
from tinytorch.learn.doctor import Finding
from tinytorch.learn.workspace import Workspace, begin

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = begin(tmp_path / "ws")
    with in_course(write_course(tmp_path / "lessons"), made.root):
        yield made


def named(findings: Iterator[Finding], name: str) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


def test_each_finding_that_must_be_mended_says_how() -> None:
    found = [*doctor.examine(ROOT)]
    assert {"Python", "packages", "computing", "BLAS", "memory", "disk", "console"} <= {f.name for f in found}
    assert all(finding.state in ("ok", "note", "mend") and finding.text for finding in found)
    assert not [f for f in found if f.state == "mend" and f.name not in ("lessons", "disk")]


def test_the_versions_of_python_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest, new = (".".join(map(str, v)) for v in (doctor.OLDEST, doctor.TOO_NEW))
    assert project["requires-python"] == f">={oldest},<{new}"
    assert doctor.python((3, 10, 2)).state == doctor.python((3, 15, 0)).state == "mend"
    assert "3.11 or newer" in doctor.python((3, 10, 2)).cure
    assert doctor.python((3, 11, 0)).state == doctor.python((3, 14, 9)).state == "ok"


def test_packages_that_lack_or_are_old() -> None:
    installed = {"numpy": "2.10.0", "click": "8.0.9", "Jinja2": "3.2rc1"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    wanted = [
        "numpy>=2.9",
        "click>=8.1",
        "Jinja2>=3.1",
        "numba>=0.63; (platform_system == 'Linux')",
        "libcst>=1.8; extra == 'learn'",
        "torch==2.13.0; extra == 'peers'",
        "hypothesis>=6; extra == 'dev'",
    ]
    assert [*doctor.packages(wanted, version)] == [
        Finding("packages", "ok", "numpy 2.10.0, Jinja2 3.2rc1"),
        Finding("packages", "mend", "click 8.0.9, older than 8.1", 'pip install "click>=8.1"'),
        Finding(
            "packages",
            "note",
            "numba is not installed: NumPy's kernels serve",
            'faster: pip install "numba>=0.63"',
        ),
        Finding("packages", "mend", "libcst is not installed", 'pip install "tinytorch-lab[learn]"'),
    ]


def test_what_the_project_requires_can_be_read() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        f"{line}; extra == 'learn'" for line in project["optional-dependencies"]["learn"]
    ]
    listed = " ".join(finding.text for finding in doctor.packages(wanted))
    for name in ("click", "numpy", "numba", "threadpoolctl", "libcst", "pytest"):
        assert name in listed


def test_little_memory_and_a_full_disk(tmp_path: Path) -> None:
    assert doctor.memory(100 << 20).state == "note"
    assert doctor.memory(8 << 30) == Finding("memory", "ok", "8.0 GiB free")
    assert doctor.disk(tmp_path, 1 << 20).state == "mend"
    assert doctor.disk(tmp_path, 1 << 40).state == "ok"
    free = doctor.free_memory()
    assert free is None or free > 0


def test_numpy_computes() -> None:
    assert doctor.numpy_works().state == "ok"


# ---------------------------------------------------------------- the workspace


def test_without_a_workspace(tmp_path: Path) -> None:
    (found,) = doctor.workspace_findings(tmp_path)
    assert found.state == "note"
    assert "tito begin" in found.text


def test_a_good_workspace(workspace: Workspace) -> None:
    workspace.work.mkdir()
    (workspace.work / "01_shapes.py").write_text("x = 1\n")
    states = {f.name: f.state for f in doctor.workspace_findings(workspace.root)}
    assert states == dict.fromkeys(("workspace", "work files", "writing", "git"), "ok")
    assert sorted(p.name for p in workspace.root.iterdir()) == [".gitignore", "tito.toml", "work"]


def test_a_work_file_that_does_not_parse(workspace: Workspace) -> None:
    workspace.work.mkdir()
    (workspace.work / "01_shapes.py").write_text("x = 1\n")
    (workspace.work / "02_layers.py").write_text("def f(:\n")
    bad, good = named(doctor.workspace_findings(workspace.root), "work files")
    assert bad.state == "mend"
    assert "work/02_layers.py, line 1" in bad.text
    assert good.text == "1 of 2 can be read"


def test_damaged_files_of_tito_itself(workspace: Workspace) -> None:
    (workspace.root / "tito.toml").write_text("= 1")
    workspace.state.mkdir()
    (workspace.state / "progress.json").write_text("{")
    found = [*doctor.workspace_findings(workspace.root)]
    assert [f.name for f in found if f.state == "mend"] == ["workspace", "progress"]


def test_a_folder_that_cannot_be_written(workspace: Workspace) -> None:
    assert doctor.writable(workspace).state == "ok"
    if Path("/proc").is_dir():  # where not even root can make a file
        found = doctor.writable(Workspace(Path("/proc")))
        assert found.state == "mend"
        assert "no file can be made in /proc" in found.text


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_what_git_ignores(workspace: Workspace) -> None:
    subprocess.run(["git", "init", "-q", str(workspace.root)], check=True)
    assert [f.state for f in doctor.ignored(workspace)] == ["ok"]
    (workspace.root / ".gitignore").write_text("work/\n")
    bad, note = doctor.ignored(workspace)
    assert (bad.state, note.state) == ("mend", "note")
    assert "your code would not be committed" in bad.text
    assert ".tito/" in note.cure
    (workspace.root / ".git" / "HEAD").write_text("nothing\n")
    assert all(f.state in ("note", "ok") for f in doctor.ignored(workspace))


def test_lessons_that_are_not_there(tmp_path: Path) -> None:
    begin(tmp_path / "ws")
    with in_course(tmp_path / "nothing", tmp_path / "ws"):
        found = doctor.lessons()
        assert found.state == "mend"
        assert found.cure
        assert [f.name for f in doctor.workspace_findings(tmp_path / "ws")] == ["workspace", "writing", "git"]
