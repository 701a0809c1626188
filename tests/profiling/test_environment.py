"""Surroundings as an imaginary /proc and /sys tell them, and what is said to be doubtful."""

from __future__ import annotations

import os
import platform
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import tinytorch
from tinytorch.profiling import environment
from tinytorch.profiling.environment import UNKNOWN, describe, spans, stolen

LINUX = pytest.mark.skipif(platform.system() != "Linux", reason="needs the processors a process may use")
CPU = "sys/devices/system/cpu"


def write(root: Path, **files: str) -> Path:
    """Files below the root; a double underscore in a name stands for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def system(root: Path, governor: str = "performance", no_turbo: str = "1", load: str = "0.50") -> Path:
    """A calm machine, but for what is said otherwise."""
    for i in os.sched_getaffinity(0):
        write(root, **{f"{CPU}/cpu{i}/cpufreq/scaling_governor": governor})
    return write(
        root,
        **{f"{CPU}/intel_pstate/no_turbo": no_turbo},
        proc__loadavg=f"{load} 0.40 0.30 1/93 7135",
        proc__cpuinfo="processor\t: 0\nflags\t\t: fpu vme sse2",
        proc__stat="cpu  10 20 30 40 50 60 70 250 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0",
    )


def said(root: Path) -> str:
    return " | ".join(describe(root).warnings)


def test_what_this_machine_is_like() -> None:
    found = describe()
    assert found.python == platform.python_version()
    assert found.numpy == np.__version__
    assert found.cores >= 1
    assert found.threads == tinytorch.get_num_threads()
    assert {pool["internal_api"] for pool in threadpool_info() if pool["user_api"] == "blas"} <= set(
        found.blas.replace(",", "").split()
    )
    assert found.date[:4].isdecimal()
    assert found.processor != ""


def test_all_but_the_warnings_as_text() -> None:
    found = describe()
    texts = found.as_dict()
    assert set(texts) == set(asdict(found)) - {"warnings"}
    assert all(isinstance(text, str) and text for text in texts.values())
    assert texts["cores"] == str(found.cores)


@LINUX
def test_a_calm_machine_has_nothing_doubtful(tmp_path: Path) -> None:
    before = tinytorch.get_num_threads()
    tinytorch.set_num_threads(1)
    try:
        found = describe(system(tmp_path))
    finally:
        tinytorch.set_num_threads(before)
    here = [warning for warning in found.warnings if "slows Python" not in warning]  # coverage may run
    assert here == []
    assert (found.governor, found.turbo, found.virtual, found.load) == ("performance", "off", "no", "0.50")
    assert found.affinity == spans(sorted(os.sched_getaffinity(0)))


@LINUX
def test_what_is_doubtful(tmp_path: Path) -> None:
    many = f"{2 * (os.cpu_count() or 1) + 0.5:.2f}"
    text = said(system(tmp_path, governor="powersave", no_turbo="0", load=many))
    assert f"load {many} on {os.cpu_count()} processors" in text
    assert "governor powersave" in text
    assert "turbo is on" in text
    assert "virtual" not in text
    write(tmp_path, proc__cpuinfo="flags : fpu hypervisor sse2")
    assert "virtual machine" in said(tmp_path)


@LINUX
def test_the_load_may_be_as_high_as_there_are_processors(tmp_path: Path) -> None:
    assert "load" not in said(system(tmp_path, load=f"{os.cpu_count()}.00"))
    assert "load" in said(system(tmp_path, load=f"{os.cpu_count()}.01"))


def test_turbo_of_other_drivers(tmp_path: Path) -> None:
    assert describe(write(tmp_path, **{f"{CPU}/cpufreq/boost": "1"})).turbo == "on"
    assert describe(write(tmp_path, **{f"{CPU}/cpufreq/boost": "0"})).turbo == "off"
    assert describe(write(tmp_path, **{f"{CPU}/cpufreq/boost": "perhaps"})).turbo == UNKNOWN


def test_more_threads_than_cores_are_doubtful() -> None:
    before = tinytorch.get_num_threads()
    cores = describe().cores
    tinytorch.set_num_threads(cores + 1)
    try:
        here = describe()
    finally:
        tinytorch.set_num_threads(before)
    pools = [p for p in threadpool_info() if p["user_api"] == "blas"]
    assert pools
    assert any(f"BLAS uses {cores + 1} threads on {cores} core" in text for text in here.warnings)
    assert str(cores + 1) in here.blas_threads


@pytest.mark.parametrize(
    ("quota", "warned"),
    [
        ("25000 100000", True),
        ("100000000 100000", False),
        ("max 100000", False),
        ("25000 0", False),
        ("", False),
    ],
)
def test_a_quota_below_the_cores_is_doubtful(tmp_path: Path, quota: str, warned: bool) -> None:
    text = said(write(tmp_path, **{"sys/fs/cgroup/cpu.max": quota}))
    assert ("quota of 0.25" in text) == warned


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    found = describe(tmp_path)
    assert (found.governor, found.turbo, found.virtual, found.load) == (UNKNOWN,) * 4
    assert not any(
        word in text for text in found.warnings for word in ("load", "governor", "turbo", "virtual")
    )
    assert stolen(tmp_path) is None


@given(st.text(max_size=60))
def test_files_that_say_anything(text: str) -> None:
    assert environment._turbo(Path(os.devnull)) == UNKNOWN
    assert environment._listed([text]) == (text or UNKNOWN)


@pytest.mark.parametrize("text", ["", "cpu 1 2", "intr 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 4 5 6 7 x 9"])
def test_stolen_time_that_is_not_told(tmp_path: Path, text: str) -> None:
    assert stolen(write(tmp_path, proc__stat=text)) is None


def test_stolen_time(tmp_path: Path) -> None:
    write(tmp_path, proc__stat="cpu  10 20 30 40 50 60 70 250 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0")
    assert stolen(tmp_path) == 250 / os.sysconf("SC_CLK_TCK")


@given(st.sets(st.integers(0, 40), min_size=1))
def test_spans_name_the_numbers(numbers: set[int]) -> None:
    named: set[int] = set()
    for part in spans(list(numbers)).split(","):
        first, _, last = part.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == numbers


def test_what_slows_python_is_named() -> None:
    tracemalloc.start()
    try:
        assert any("tracemalloc is active" in warning for warning in describe().warnings)
    finally:
        tracemalloc.stop()
    assert not any("tracemalloc" in warning for warning in describe().warnings)
