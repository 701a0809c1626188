"""The organiser's key: it signs each record, and its public half lets anybody check them."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tinytorch.errors import BenchmarkError

HOME = "TINYMLPERF_HOME"
"""Environment variable that names the folder of the store, the key and the heads."""
_NAME = "organiser.pem"


def home() -> Path:
    """Where results, key and heads are kept: TINYMLPERF_HOME, or a place in the user's data folder.

    >>> home().is_absolute()
    True
    """
    chosen = os.environ.get(HOME)
    if chosen:
        return Path(chosen).absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return (base / "tinytorch" / "tinymlperf").absolute()


@dataclass(frozen=True)
class Verifier:
    """The public half of a key, as text for others to check with."""

    text: str

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether the key signed this message."""
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.text)).verify(signature, message)
        except InvalidSignature:
            return False
        except ValueError as error:
            raise BenchmarkError(f"public key {self.text[:70]!r}: expected 64 hexadecimal digits") from error
        return True


class Key:
    """A key that signs.

    >>> key = Key(Ed25519PrivateKey.generate())
    >>> key.public.holds(b"message", key.sign(b"message")), key.public.holds(b"other", key.sign(b"message"))
    (True, False)
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = Verifier(raw.hex())

    def sign(self, message: bytes) -> bytes:
        """The signature: 64 bytes."""
        return self._private.sign(message)


def load_key(folder: Path | None = None) -> Key:
    """The key in a folder, by default `home()`; made there, readable by its owner alone, at first use.

    Two processes at once get the same one. Raises BenchmarkError for a file that is no such key, and where
    none can be written.
    """
    path = (folder or home()) / _NAME
    try:
        if not path.exists():
            _make(path)
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"{path}: no key can be had ({error.strerror or error}). Set {HOME}") from error
    try:
        found = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BenchmarkError(
            f"{path}: not a key. Put the right file back: results are signed with it"
        ) from error
    if not isinstance(found, Ed25519PrivateKey):
        raise BenchmarkError(f"{path}: a key of another kind than Ed25519")
    return Key(found)


def _make(path: Path) -> None:
    """Write a fresh key; one that another process wrote meanwhile stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".key")  # only its owner can read it
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        os.unlink(part)
