"""Shipped archives: whole or refused, never half-read."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytorch.data.embedded import FILES, checksum, read_archive
from tinytorch.errors import DataError

DIGITS = (FILES / "digits.tar.xz").read_bytes()


@pytest.fixture
def folder(tmp_path):
    for name in ("SHA256SUMS", "digits.tar.xz"):
        shutil.copy(FILES / name, tmp_path / name)
    return tmp_path


def test_every_shipped_file_has_its_checksum_listed():
    listed = [line.split("  ")[1] for line in (FILES / "SHA256SUMS").read_text().splitlines()]
    shipped = [p.name for p in FILES.iterdir() if p.name.endswith((".xz", ".json"))]
    assert sorted(shipped) == sorted(listed)


def test_a_copy_reads(folder):
    assert len(read_archive("digits", folder)) == 6


@given(at=st.integers(0, len(DIGITS) - 1), flip=st.integers(1, 255))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_noticed(folder, at, flip):
    damaged = bytearray(DIGITS)
    damaged[at] ^= flip
    (folder / "digits.tar.xz").write_bytes(damaged)
    with pytest.raises(DataError, match="damaged or cut off"):
        read_archive("digits", folder)


@pytest.mark.parametrize("keep", [0, 1, 100, len(DIGITS) - 1])
def test_cut_off(folder, keep):
    (folder / "digits.tar.xz").write_bytes(DIGITS[:keep])
    with pytest.raises(DataError, match="damaged or cut off") as caught:
        read_archive("digits", folder)
    assert "\n" not in str(caught.value)


def test_missing(folder):
    (folder / "digits.tar.xz").unlink()
    with pytest.raises(DataError, match="install the package again"):
        read_archive("digits", folder)
    with pytest.raises(DataError, match="no SHA-256"):
        checksum("other.tar.xz", folder)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(DataError, match="SHA256SUMS: cannot be read"):
        read_archive("digits", folder)
