"""In Debian's chromium: an entry is uploaded, watched while it is measured, and found on the board."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from tests.benchmarking.store.made import comparison, program, result
from tinytorch.benchmarking.competition import Competition
from tinytorch.benchmarking.events import baseline
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.web.app import make_app
from tinytorch.benchmarking.web.serve import work

playwright = (
    pytest.importorskip("playwright.sync_api")
    if not os.environ.get("CI")
    else __import__("playwright.sync_api").sync_api
)
CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
SIZES = {"desktop": (1280, 900), "phone": (390, 800)}
PAGES = [
    "/",
    "/board/mlp_sprint/open",
    "/board/mlp_sprint/closed",
    "/entry/1",
    "/team/team%20a",
    "/rules",
    "/museum",
    "/upload",
    "/queue",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as found:
        yield found.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaderboard]:
    folder = tmp_path_factory.mktemp("web")
    found = Leaderboard(folder / "store.db", folder)
    for name, overall in (("a", 2.0), ("b", 2.01), ("c", 1.0)):
        found.add(result(name, overall), program(name))
    found.add_comparison(comparison("b", "c", 0.7))
    yield found
    found.close()


@pytest.fixture(scope="module")
def address(board: Leaderboard, short: None) -> Iterator[str]:
    """A server with a worker, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_app(board), port=port, log_level="error"))
    until = threading.Event()
    threads = [
        threading.Thread(target=server.run),
        threading.Thread(target=work, args=(Competition(board), until)),
    ]
    for thread in threads:
        thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    until.set()
    server.should_exit = True
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_and_are_accessible(browser, address: str, path: str, size: str) -> None:  # type: ignore[no-untyped-def]
    from axe_playwright_python.sync_playwright import Axe

    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(address + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert said == []
    context.close()


def test_the_policy_is_kept(browser, address: str) -> None:  # type: ignore[no-untyped-def]
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    for path in PAGES:
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
    assert said == []
    page.close()


@pytest.mark.parametrize("script", [True, False])
def test_an_entry_is_uploaded_watched_and_found(browser, address: str, tmp_path: Path, script: bool) -> None:  # type: ignore[no-untyped-def]
    team = "with script" if script else "without script"
    (tmp_path / "e.toml").write_text(f'event = "mlp_sprint"\nteam = "{team}"\nprogram = "a.ttc"\n')
    (tmp_path / "a.ttc").write_bytes(baseline("mlp_sprint"))
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto(address + "/upload")
    page.set_input_files("#description", tmp_path / "e.toml")
    page.set_input_files("#program", tmp_path / "a.ttc")
    page.click("button")
    assert "/upload/" in page.url
    page.wait_for_selector('#state[data-state="done"]', timeout=180_000)
    page.click("text=See the result")
    assert page.locator("h1").inner_text() == f"{team}: MLP Sprint"
    page.goto(address + "/board/mlp_sprint/open")
    machine = page.locator("nav[aria-label=Machine] a")
    names = set()
    for number in range(machine.count()):
        machine.nth(number).click()
        names |= set(page.locator("tbody th a").all_inner_texts())
    assert team in names
    context.close()


def test_a_bad_upload_says_why(browser, address: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "e.toml").write_text('event = "mlp_sprint"\nteam = "x"\nprogram = "a.ttc"\n')
    (tmp_path / "a.ttc").write_bytes(b"no program")
    page = browser.new_page()
    page.goto(address + "/upload")
    page.set_input_files("#description", tmp_path / "e.toml")
    page.set_input_files("#program", tmp_path / "a.ttc")
    page.click("button")
    assert "Not accepted" in page.locator("#error").inner_text()
    page.close()
