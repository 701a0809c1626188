"""IDX files: round trips, and bytes that lie about themselves."""

import contextlib
import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tinytorch.data.idx import format_idx, parse_idx, read_idx
from tinytorch.errors import DataError


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
def test_round_trip(array):
    back = parse_idx(format_idx(array), array.ndim)
    np.testing.assert_array_equal(back, array)
    assert back.shape == array.shape


@given(st.binary(max_size=60), st.integers(1, 3))
def test_any_bytes_give_an_array_or_a_data_error(raw, ndim):
    with contextlib.suppress(DataError):
        assert format_idx(parse_idx(raw, ndim)) == raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "too few"),
        (b"\0\0\x08\x03\0\0", "too few"),
        (b"\x89PNG" + bytes(40), "89504e47.*right file"),
        (b"\0\0\x08\x01" + bytes(40), "3 axes"),
        (b"\0\0\x0d\x03" + bytes(40), "unsigned bytes"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 2) + bytes(7), "promises .* 8 bytes but 7"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 2) + bytes(9), "promises .* 8 bytes but 9"),
    ],
)
def test_foreign_and_damaged_bytes(raw, words):
    with pytest.raises(DataError, match=words):
        parse_idx(raw, 3, "some file")


def test_absurd_counts_allocate_nothing():
    raw = b"\0\0\x08\x03" + struct.pack(">3I", *[2**32 - 1] * 3) + bytes(10)
    tracemalloc.start()
    with pytest.raises(DataError, match="promises"):
        parse_idx(raw, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_files_plain_and_compressed(tmp_path):
    array = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    plain, packed = tmp_path / "a", tmp_path / "b"
    plain.write_bytes(format_idx(array))
    packed.write_bytes(gzip.compress(format_idx(array)))
    np.testing.assert_array_equal(read_idx(plain, 3), array)
    np.testing.assert_array_equal(read_idx(packed, 3), array)


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "none", 3)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path, 3)
    packed = gzip.compress(format_idx(np.zeros(1000, dtype=np.uint8)))
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    for bad in (packed[:-9], packed[:12], bytes(flipped)):
        path = tmp_path / "bad.gz"
        path.write_bytes(bad)
        with pytest.raises(DataError, match=r"bad\.gz"):
            read_idx(path, 1)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(3_000_000)))
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        read_idx(path, 1, limit=1_000_000)


def test_only_bytes_are_written():
    with pytest.raises(DataError, match="astype"):
        format_idx(np.zeros(3))
