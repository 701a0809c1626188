"""The data files that ship with the package, checked against their SHA-256 before use."""

import hashlib
import io
import lzma
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from tinytorch.errors import DataError

FILES = Path(__file__).resolve().parent / "files"


def checksum(file: str, folder: Path = FILES) -> str:
    """Return the SHA-256 that the folder's SHA256SUMS notes for a file; raises DataError without one."""
    try:
        lines = (folder / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{folder / 'SHA256SUMS'}: cannot be read ({error}); install the package again"
        ) from error
    for line in lines:
        digest, _, name = line.partition("  ")
        if name == file:
            return digest
    raise DataError(f"{file}: no SHA-256 in {folder / 'SHA256SUMS'}; install the package again")


def read_checked(file: str, folder: Path = FILES) -> bytes:
    """Return the bytes of a shipped file once its SHA-256 has been found right.

    Raises DataError for a file that is missing, damaged or cut off.
    """
    expected = checksum(file, folder)
    try:
        raw = (folder / file).read_bytes()
    except OSError as error:
        raise DataError(f"{folder / file}: cannot be read ({error}); install the package again") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != expected:
        raise DataError(
            f"{folder / file}: SHA-256 is {found[:12]}..., not {expected[:12]}... ({len(raw):,} bytes); "
            "the file is damaged or cut off, install the package again"
        )
    return raw


def read_archive(name: str, folder: Path = FILES) -> Mapping[str, bytes]:
    """Return the members of NAME.tar.xz by their names; raises DataError like `read_checked`."""
    raw = lzma.decompress(read_checked(f"{name}.tar.xz", folder))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return MappingProxyType({m.name: _content(tar, m) for m in tar if m.isfile()})


@lru_cache(maxsize=4)
def read_embedded(name: str) -> Mapping[str, bytes]:
    """Return the members of a shipped archive, read and checked once a process.

    >>> sorted(read_embedded("digits"))[0]
    'test-images-idx3-ubyte'
    """
    return read_archive(name)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    assert stream is not None  # only regular files come here
    return stream.read()
