"""Shared by the build scripts: reproducible .tar.xz files and the list of their checksums."""

import hashlib
import io
import lzma
import tarfile
from collections.abc import Mapping
from pathlib import Path

FILES = Path(__file__).resolve().parent.parent / "tinytorch" / "data" / "files"


def write_archive(name: str, members: Mapping[str, bytes]) -> Path:
    """Write files/NAME.tar.xz with the members in the order given, and note its SHA-256.

    Times, owners and modes are fixed, so that the same content gives the same bytes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))
    path = FILES / f"{name}.tar.xz"
    path.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    note_checksum(path)
    return path


def note_checksum(path: Path) -> None:
    """Put the file's SHA-256 into files/SHA256SUMS (the format of sha256sum), keeping the other lines."""
    sums = FILES / "SHA256SUMS"
    lines = sums.read_text(encoding="ascii").splitlines() if sums.exists() else []
    known = {line.split("  ", 1)[1]: line for line in lines}
    known[path.name] = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
    sums.write_text("".join(known[name] + "\n" for name in sorted(known)), encoding="ascii", newline="\n")
