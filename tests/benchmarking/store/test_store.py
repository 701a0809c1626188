"""The store keeps what it is given, in order, beside other processes, and finds whatever was changed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, delete, insert, select, text, update

from tests.benchmarking.store.made import comparison, program, result
from tinytorch.benchmarking.result import Result
from tinytorch.benchmarking.store.keys import load_key
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.schema import HEAD, PROGRAMS, RECORDS
from tinytorch.benchmarking.store.verify import verify
from tinytorch.errors import BenchmarkError


def filled(board: Leaderboard) -> Leaderboard:
    for name, overall in (("a", 2.0), ("b", 2.01), ("c", 1.0)):
        board.add(result(name, overall), program(name))
    board.add(result("d", valid=False), b"")
    board.add_comparison(comparison("b", "c", 0.7))
    return board


def test_what_was_added_comes_back(board: Leaderboard, open_again: Callable[[], Leaderboard]) -> None:
    filled(board)
    other = open_again()
    assert len(other) == 5
    assert other.result(1) == result("a", 2.0)
    assert other.get(5).record == comparison("b", "c", 0.7)
    assert other.program(result("b").entry) == program("b")
    assert [row.entry for row in other.history("team d")] == [result("d").entry]
    assert verify(other) == []


def test_a_board_shares_ranks_until_a_comparison_tells_apart(board: Leaderboard) -> None:
    filled(board)
    places = board.board("mlp_sprint", "open").places
    assert [(p.row.team, p.rank, p.shared) for p in places] == [
        ("team b", 1, True),
        ("team a", 1, True),
        ("team c", 2, False),
    ]
    board.add_comparison(comparison("b", "a", 0.05))
    ranks = [p.rank for p in board.board("mlp_sprint", "open").places]
    assert ranks == [1, 2, 2], "nobody has run a and c beside each other"
    by_size = board.board("mlp_sprint", "open", "size").places
    assert [p.rank for p in by_size] == [1, 2, 3], "counted figures need no re-run"
    assert not by_size[0].shared


def test_the_last_result_of_a_program_counts_and_others_are_not_listed(board: Leaderboard) -> None:
    board.add(result("a", 2.0), program("a"))
    board.add(result("a", 1.5), program("a"))
    board.add(result("z", 9.0, published=False), program("z"))
    board.add(
        result("y", 9.0, machine=result("y").machine.__class__("e" * 16, "p", 1, "s", "3", "2", "0")),
        program("y"),
    )
    (place,) = board.board("mlp_sprint", "open", fingerprint="f" * 16).places
    assert place.ratio.value == pytest.approx(1.5)
    assert set(board.fingerprints("mlp_sprint", "open")) == {"e" * 16, "f" * 16}
    assert board.attempts("team a", "mlp_sprint", "open") == 2


def test_records_need_more_than_luck(board: Leaderboard) -> None:
    board.add(result("a", 1.0), program("a"))
    board.add(result("b", 1.1), program("b"))
    assert board.board("mlp_sprint", "open").records == (1,), "nobody has run them beside each other"
    board.add_comparison(comparison("b", "a", 0.1))
    view = board.board("mlp_sprint", "open")
    assert view.records == (1, 2)
    assert [p.record for p in view.places] == [True, False]
    for _ in range(30):
        board.add(result("junk", valid=False, team="team c"))
    board.add(result("c", 1.2), program("c"))
    board.add_comparison(
        comparison("c", "b", 0.09, error=0.02)
    )  # p is 0.006: enough at first, not at the 31st
    assert board.board("mlp_sprint", "open").records == (1, 2)


def test_bad_input_changes_nothing(board: Leaderboard) -> None:
    filled(board)
    with pytest.raises(BenchmarkError, match="hash"):
        board.add(result("e"), program("f"))
    with pytest.raises(BenchmarkError, match="no record 9"):
        board.get(9)
    with pytest.raises(BenchmarkError, match="comparison"):
        board.result(5)
    with pytest.raises(BenchmarkError, match="not kept"):
        board.program("0" * 64)
    assert len(board) == 5
    assert verify(board) == []


# ---------------------------------------------------------------- tampering


def changed(value: Any, kind: object) -> list[Any]:
    """Other values for one of a column."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 100]
    if isinstance(kind, LargeBinary):
        raw = bytes(value)
        places = range(0, len(raw), max(1, len(raw) // 40))
        return [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in places] + [raw[:-1], raw + b" "]
    flipped = [value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :] for at in range(0, len(value), 8)]
    return [*flipped, value[:-1] or "x"]


def test_any_value_that_is_changed_is_found(board: Leaderboard) -> None:
    filled(board)
    for table in (RECORDS, HEAD, PROGRAMS):
        keys = list(table.primary_key.columns)
        with board.database.read() as connection:
            rows = connection.execute(select(table)).all()
        for row in rows:
            here = [key == getattr(row, key.name) for key in keys]
            for column in table.columns:
                if column.name == "id":
                    continue
                value = getattr(row, column.name)
                for other in changed(value, column.type):
                    where = [key == (other if key is column else getattr(row, key.name)) for key in keys]
                    with board.database.write() as connection:
                        connection.execute(update(table).where(*here).values({column.name: other}))
                    found = verify(board)
                    with board.database.write() as connection:
                        connection.execute(update(table).where(*where).values({column.name: value}))
                    assert found, f"{table.name}.{column.name}: {value!r} became {other!r}"
    assert verify(board) == []


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_row_that_is_gone_is_found(board: Leaderboard, number: int) -> None:
    filled(board)
    with board.database.write() as connection:
        connection.execute(delete(RECORDS).where(RECORDS.c.number == number))
    assert verify(board)


def test_swapped_and_doubled_rows_are_found(board: Leaderboard) -> None:
    filled(board)
    with board.database.write() as connection:
        one, two = connection.execute(select(RECORDS).where(RECORDS.c.number.in_((1, 2)))).mappings().all()
        connection.execute(delete(RECORDS).where(RECORDS.c.number.in_((1, 2))))
        for number, row in ((1, two), (2, one)):
            connection.execute(insert(RECORDS).values({**row, "number": number}))
    assert verify(board)


def test_a_store_set_back_to_an_earlier_state_is_found(
    board: Leaderboard, open_again: Callable[[], Leaderboard]
) -> None:
    filled(board)
    with board.database.read() as connection:
        head = connection.execute(select(HEAD)).mappings().one()
    board.add(result("late"), program("late"))
    with board.database.write() as connection:
        connection.execute(delete(RECORDS).where(RECORDS.c.number == 6))
        connection.execute(delete(PROGRAMS).where(PROGRAMS.c.sha256 == result("late").entry))
        connection.execute(update(HEAD).values(**head))
    assert any("set back" in str(problem) for problem in verify(open_again()))


def test_records_signed_with_another_key_are_found(place: str, tmp_path: Path) -> None:
    filled(Leaderboard(place, tmp_path / "home"))
    stranger = Leaderboard(place, tmp_path / "other home")
    stranger.add(result("mine", 50.0), program("mine"))
    public = load_key(tmp_path / "home").public
    assert {problem.number for problem in verify(stranger, public)} == {0, 6}


def test_a_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_key(tmp_path).public.text)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert (tmp_path / "organiser.pem").stat().st_mode & 0o077 == 0
    (tmp_path / "organiser.pem").write_text("no key")
    with pytest.raises(BenchmarkError, match="not a key"):
        load_key(tmp_path)


def test_a_store_of_a_newer_version_is_refused(
    board: Leaderboard, open_again: Callable[[], Leaderboard]
) -> None:
    with board.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(BenchmarkError, match="another version"):
        open_again()


def test_what_cannot_be_a_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but longer than a header of one would be" * 9)
    for url in (tmp_path / "text.db", "nonsense://x", "postgresql://nobody@127.0.0.1:1/none"):
        with pytest.raises(BenchmarkError) as caught:
            Leaderboard(url, tmp_path)
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- beside others

ADDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.benchmarking.store.made import program, result
from tinytorch.benchmarking.store.leaderboard import Leaderboard
board = Leaderboard(sys.argv[2], Path(sys.argv[3]))
print("ready", flush=True)
for number in range(int(sys.argv[5])):
    name = f"{sys.argv[4]}{number}"
    print(board.add(result(name), program(name)), flush=True)
"""
ROOT = str(Path(__file__).resolve().parents[3])


def adder(place: str, home: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ADDER, ROOT, place, str(home), name, str(count)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT}
    )


def test_two_processes_open_a_new_store_at_once_and_lose_nothing(place: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    both = [adder(place, home, name, 20) for name in ("x", "y")]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    numbers = [int(line) for text in said for line in text.split()[1:]]
    assert sorted(numbers) == list(range(1, 41))
    board = Leaderboard(place, home)
    assert verify(board) == []
    assert len(board) == 40


def test_killed_at_any_moment_it_leaves_no_half_result(place: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    Leaderboard(place, home)
    told = 0
    for attempt in range(4):
        process = adder(place, home, f"k{attempt} ", 1000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(attempt):
            process.stdout.readline()
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.wait()
        told += attempt + sum(
            line.strip().isdigit() for line in rest.splitlines(keepends=True) if line.endswith("\n")
        )
        board = Leaderboard(place, home)
        assert verify(board) == []
        assert len(board) >= told
    for number in range(1, len(board) + 1):
        assert isinstance(board.get(number).record, Result)


def test_a_thousand_entries_make_one_board(board: Leaderboard) -> None:
    with board.database.write() as connection:
        for number in range(1000):
            name = str(number)
            board.append(connection, result(name, 1 + number / 1000), program(name))
    places = board.board("mlp_sprint", "open").places
    assert len(places) == 1000
    assert places[0].ratio.value == pytest.approx(1.999)
    assert math.isclose(places[-1].ratio.value, 1.0)
