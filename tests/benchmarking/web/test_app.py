"""Pages, uploads and their limits, asked over HTTP; and the same pages as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.benchmarking.store.made import comparison, program, result
from tests.journey.html_check import Page
from tinytorch.benchmarking.events import EVENTS, baseline
from tinytorch.benchmarking.museum import EXHIBITS
from tinytorch.benchmarking.result import Result
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.queue import Queue
from tinytorch.benchmarking.web import app as apps
from tinytorch.benchmarking.web.app import make_app
from tinytorch.benchmarking.web.export import export
from tinytorch.benchmarking.web.uploads import Rate
from tinytorch.errors import BenchmarkError

OURS = ("<a href='/", "<link href='/static", "<script src='/static", "<form action='/upload", "<a href='#")


def problems_of(text: str, ours: tuple[str, ...] = OURS) -> list[str]:
    """What is not well formed in a page, or comes from elsewhere than here."""
    return [problem for problem in Page(text).problems if not problem.startswith(ours)]


LOUD = "<script>alert(1)</script>"
TOML = b'event = "mlp_sprint"\nteam = "a team"\nprogram = "a.ttc"\ndescription = "<b>fast</b>"\n'


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Leaderboard]:
    found = Leaderboard(tmp_path / "store.db", tmp_path)
    for name, overall in (("a", 2.0), ("b", 2.01), ("c", 1.0)):
        found.add(result(name, overall, description=LOUD), program(name))
    found.add(result("d", valid=False, reasons=(LOUD,)), b"")
    found.add_comparison(comparison("b", "c", 0.7))
    yield found
    found.close()


@pytest.fixture
def client(board: Leaderboard) -> TestClient:
    return TestClient(make_app(board), follow_redirects=False)


PAGES = [
    "/",
    "/rules",
    "/museum",
    "/upload",
    "/queue",
    "/entry/1",
    "/entry/4",
    "/team/team%20a",
    "/team/nobody",
]
PAGES += [f"/board/{name}/{division}" for name in EVENTS for division in ("open", "closed")]
PAGES += [
    "/board/mlp_sprint/open?by=size",
    "/board/mlp_sprint/open?page=7",
    "/board/mlp_sprint/open?machine=none",
]


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_and_escape_everything(client: TestClient, path: str) -> None:
    found = client.get(path)
    assert found.status_code == 200
    assert "<script>alert" not in found.text
    assert problems_of(found.text) == []
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "style=" not in found.text, "the policy lets no style stand in a page"
    assert " on" not in [part[:3] for part in found.text.split('"')[::2]]


def test_a_board_shows_shared_ranks_intervals_and_records(client: TestClient) -> None:
    text = client.get("/board/mlp_sprint/open").text
    assert text.count(">=</span>") == 2
    assert "2.01x [1.96, 2.06]" in text
    assert "cannot be verified" in text
    assert "<svg" in text
    assert text.index("team b") < text.index("team a") < text.index("team c")


def test_an_entry_shows_its_evidence(client: TestClient, board: Leaderboard) -> None:
    text = client.get("/entry/1").text
    for part in (board.get(1).hash, result("a").entry, result("a").runner, "60 %", "local, unverified"):
        assert part in text
    assert "&lt;script&gt;" in text
    assert "Invalid" in client.get("/entry/4").text


@pytest.mark.parametrize(
    "path",
    ["/entry/5", "/entry/99", "/entry/x", "/board/chess/open", "/board/mlp_sprint/x", "/upload/none",
     "/board/mlp_sprint/open?by=luck", "/board/mlp_sprint/open?page=-1", "/static/../app.py", "/static/x.js"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_good_upload_waits_and_is_found_again(client: TestClient, board: Leaderboard) -> None:
    files = {"description": ("e.toml", TOML), "program": ("a.ttc", baseline("mlp_sprint"))}
    found = client.post("/upload", files=files)
    assert found.status_code == 303
    page = client.get(found.headers["location"]).text
    assert "It is next" in page
    assert "hx-get" in page
    assert 'http-equiv="refresh"' in page, "for those without JavaScript"
    assert "a team" in client.get("/queue").text
    taken = Queue(board).take()
    assert taken is not None
    assert taken[1].program == baseline("mlp_sprint")
    state = client.get(found.headers["location"] + "/state").text
    assert "Running" in state
    assert state.startswith("<div")
    Queue(board).fail(taken[0], LOUD)
    state = client.get(found.headers["location"] + "/state").text
    assert "Failed" in state
    assert "<script>" not in state
    assert "hx-get" not in state, "nothing more is to come"


CUT = b"\x89TTC\r\n\x1a\n" + bytes(60)
CLOSED = b'event = "mlp_sprint"\nteam = "t"\ndivision = "closed"'
BAD = {
    "no description": ({"program": ("a.ttc", b"x")}, 422),
    "no TOML": ({"description": ("e.toml", b"\xff\xfe")}, 422),
    "no program": ({"description": ("e.toml", TOML)}, 422),
    "bad program": ({"description": ("e.toml", TOML), "program": ("a.ttc", b"PK" * 99)}, 422),
    "cut program": ({"description": ("e.toml", TOML), "program": ("a.ttc", CUT)}, 422),
    "the baselines' name": ({"description": ("e.toml", TOML.replace(b"a team", b"TinyTorch"))}, 422),
    "a large description": ({"description": ("e.toml", TOML + b"#" * 10**5)}, 422),
    "closed with a program": (
        {"description": ("e.toml", CLOSED), "program": ("a", b"x")},
        422,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_stores_nothing(client: TestClient, board: Leaderboard, name: str) -> None:
    files, status = BAD[name]
    found = client.post("/upload", files=files)
    assert found.status_code == status
    assert "Not accepted" in found.text
    assert Queue(board).jobs() == []


def test_too_much_is_cut_off(client: TestClient, board: Leaderboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "MOST_BYTES", 10_000)
    files = {"description": ("e.toml", TOML), "program": ("a.ttc", bytes(20_000))}
    assert client.post("/upload", files=files).status_code == 413

    def pieces() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="program"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield bytes(1000)

    header = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/upload", content=pieces(), headers=header).status_code == 413
    assert Queue(board).jobs() == []


def test_other_sites_and_too_many_are_refused(board: Leaderboard) -> None:
    client = TestClient(make_app(board, Rate(2)), follow_redirects=False)
    files = {"description": ("e.toml", TOML), "program": ("a.ttc", baseline("mlp_sprint"))}
    assert client.post("/upload", files=files, headers={"origin": "http://elsewhere"}).status_code == 403
    own = {"origin": "http://testserver"}
    assert [client.post("/upload", files=files, headers=own).status_code for _ in range(3)] == [303, 303, 429]


def test_a_thousand_entries_are_shown_a_hundred_at_a_time(board: Leaderboard) -> None:
    with board.database.write() as connection:
        for number in range(1000):
            board.append(connection, result(f"n{number}", 1 + number / 1000), program(f"n{number}"))
    client = TestClient(make_app(board))
    page = client.get("/board/mlp_sprint/open?page=2").text
    assert page.count("<tr>") == 101
    assert "page 11" in page


def test_labels_that_all_have_stand_above_the_table(board: Leaderboard) -> None:
    page = TestClient(make_app(board)).get("/board/mlp_sprint/open").text
    above, table = page.split("<table>", 1)
    rows = [place.row.summary.labels for place in board.board("mlp_sprint", "open").places]
    for label in set().union(*map(set, rows)):
        everywhere = all(label in labels for labels in rows)
        assert (f'class="label">{label}<' in above) is everywhere
        assert (f'class="label">{label}<' in table) is not everywhere
    assert any(rows)


def test_the_export_is_whole_and_its_links_lead_somewhere(board: Leaderboard, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    count = export(board, folder)
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(files) == count
    for name, text in files.items():
        if name.endswith(".html"):
            assert problems_of(text, ("<a href='", "<link href='bench.css'")) == []
            assert "<script" not in text
            assert "://" not in text
            links = [part.split('"')[0] for part in text.split('href="')[1:]]
            assert {link for link in links if not link.startswith(("#", "data:"))} <= set(files), name
    assert all(one.title in files["museum.html"] for one in EXHIBITS if "'" not in one.title)
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        export(board, tmp_path / "file")
    assert isinstance(board.result(1), Result)
