"""Stores on SQLite and on PostgreSQL: Debian's server, started on a socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tinytorch.benchmarking.store.leaderboard import Leaderboard

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server without databases of ours; skipped where there is none, but never in CI."""
    if not BINARIES:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tt-pg-"))
    user = "postgres" if os.getuid() == 0 else None  # initdb refuses root
    if user:
        shutil.chown(folder, user)
    run = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if user else []
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=60"
    control = [*run, str(BINARIES[-1] / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    initialise = [
        *run,
        str(BINARIES[-1] / "initdb"),
        "-D",
        str(folder / "data"),
        "-U",
        "tester",
        "-A",
        "trust",
        "-N",
    ]
    try:
        subprocess.run(initialise, check=True, capture_output=True, cwd="/")
        subprocess.run(
            [*control, "-o", options, "-l", str(folder / "log"), "start"],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
        )
        yield f"postgresql+psycopg://tester@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd="/")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store can be made: the path of a file, or the URL of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    server = request.getfixturevalue("postgres")
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return str(server).replace("/postgres?", f"/{name}?")


@pytest.fixture
def board(place: str, tmp_path: Path) -> Leaderboard:
    """An empty store with a key of its own."""
    return Leaderboard(place, tmp_path / "home")


@pytest.fixture
def open_again(place: str, tmp_path: Path) -> Callable[[], Leaderboard]:
    """The same store, opened anew."""
    return lambda: Leaderboard(place, tmp_path / "home")
