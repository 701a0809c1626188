"""Downloads that can be resumed, show progress, and count only when the checksum is right."""

import hashlib
import os
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tinytorch.errors import DataError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there are in all, None where the server does not say."""

CHUNK = 1 << 18
NOT_SATISFIABLE = 416


def download(url: str, path: Path, md5: str, progress: Progress | None = None, timeout: float = 30.0) -> Path:
    """Fetch `url` into `path`, unless a file with the right checksum is there already.

    Bytes go to PATH.part, which the next call goes on from (HTTP Range) after a cut; the file gets its name
    only when its MD5 is right. Raises DataError, in one line, when the server cannot be reached, the
    transfer breaks off, or the checksum is wrong (the partial file is then removed).

    Args:
        url: an http or https address.
        path: the file to make; its folder is made too.
        md5: what the publisher of the file states, in hexadecimal.
        progress: see `Progress`.
        timeout: seconds of silence after which a transfer counts as broken off.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"{url}: only http and https addresses can be downloaded")
    if path.is_file() and file_md5(path) == md5:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _fetch(url, part, progress, timeout)
    except (URLError, HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise DataError(
            f"{url}: download failed ({reason}); try again, it goes on where it stopped"
        ) from error
    found = file_md5(part)
    if found != md5:
        part.unlink()
        raise DataError(
            f"{url}: MD5 is {found}, not {md5}; the download was removed, try again or another source"
        )
    part.replace(path)
    return path


def file_md5(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal (as publishers of data sets state it; not for security)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fetch(url: str, part: Path, progress: Progress | None, timeout: float) -> None:
    """Bring PATH.part to its full length, from its present end when the server can do that."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(request, timeout=timeout) as response:
            _receive(response, part, have, progress)
    except HTTPError as error:
        if error.code != NOT_SATISFIABLE:
            raise
        # Nothing lies beyond what is here: the file is complete, or wrong, and the checksum will tell.


def _receive(response: HTTPResponse, part: Path, have: int, progress: Progress | None) -> None:
    resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {have}-"
    )
    done = have if resumes else 0
    length = response.headers.get("Content-Length")
    total = done + int(length) if length is not None and length.isdecimal() else None
    with part.open("ab" if resumes else "wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise OSError(f"cut off after {done:,} of {total:,} bytes")
