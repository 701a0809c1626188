"""Downloads, against a real server on this machine: resume, cut-off, wrong checksum, no server."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tinytorch.data import get
from tinytorch.data.download import download, file_md5
from tinytorch.errors import DataError

CONTENT = np.random.default_rng(0).bytes(700_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at any path; can cut an answer off, ignore Range, or hide the length."""

    cut_at: int | None = None
    knows_ranges = True
    tells_length = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = []
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.knows_ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if self.server.tells_length:
            self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.server.cut_at])

    def log_message(self, *args):
        """Keep the test's output clean."""


@contextmanager
def running():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server():
    with running() as server:
        yield server


def test_download_with_progress(server, tmp_path):
    calls = []
    path = download(server.url, tmp_path / "new" / "file.bin", MD5, lambda *call: calls.append(call))
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]
    assert len(calls) >= 2
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_here_is_not_fetched_again(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.bin", MD5)
    assert server.ranges == []


def test_cut_off_then_resumed(server, tmp_path):
    server.cut_at = 300_000
    with pytest.raises(DataError, match=r"cut off after 300,000 of 700,000 bytes.*goes on where it stopped"):
        download(server.url, tmp_path / "file.bin", MD5)
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin.part"]
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:300_000]
    server.cut_at = None
    calls = []
    download(server.url, tmp_path / "file.bin", MD5, lambda *call: calls.append(call))
    assert server.ranges == [None, "bytes=300000-"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert calls[0][0] > 300_000
    assert calls[-1] == (700_000, 700_000)


def test_server_without_ranges_starts_over(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.knows_ranges = False
    download(server.url, tmp_path / "file.bin", MD5)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_part_that_is_complete_is_accepted(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.bin", MD5)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("foreign", [b"another file", bytes(len(CONTENT) + 5)])
def test_part_of_another_file_is_removed(server, tmp_path, foreign):
    (tmp_path / "file.bin.part").write_bytes(foreign)
    with pytest.raises(DataError, match="MD5"):
        download(server.url, tmp_path / "file.bin", MD5)
    assert list(tmp_path.iterdir()) == []
    download(server.url, tmp_path / "file.bin", MD5)
    assert file_md5(tmp_path / "file.bin") == MD5


def test_wrong_checksum_leaves_the_old_file(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"old")
    with pytest.raises(DataError, match=f"MD5 is {MD5}, not {'0' * 32}"):
        download(server.url, tmp_path / "file.bin", "0" * 32)
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
    assert (tmp_path / "file.bin").read_bytes() == b"old"


def test_length_unknown(server, tmp_path):
    server.tells_length = False
    calls = []
    download(server.url, tmp_path / "file.bin", MD5, lambda *call: calls.append(call))
    assert calls[-1] == (len(CONTENT), None)


def test_no_server(tmp_path):
    with running() as gone:
        url = gone.url
    with pytest.raises(DataError, match="download failed") as caught:
        download(url, tmp_path / "file.bin", MD5)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_other_schemes_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    with pytest.raises(DataError, match="only http"):
        download(secret.as_uri(), tmp_path / "copy", MD5)


def test_get_from_a_mirror_with_other_content(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"MD5 is .*tito data get mnist --from DIR"):
        get("mnist", mirror=server.url)
    assert list((tmp_path / "mnist").iterdir()) == []
