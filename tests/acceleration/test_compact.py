"""Compact files: the program file comes back, and whatever else anybody may have written is refused."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import itertools
import json
import lzma
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tests.acceleration.artifact_files import (
    document_of,
    forward_graph,
    mlp_step,
    put_together,
    relu_graph,
    small_cnn,
    small_mlp,
    taken_apart,
)
from tinytorch import Tensor, no_grad
from tinytorch.acceleration.artifact import Limits, load_artifact, range_coder, save_graph, ways
from tinytorch.acceleration.artifact.codings import in_planes, out_of_planes
from tinytorch.acceleration.artifact.compact import (
    MAGIC,
    MOST_INDEX,
    MOST_PARTS,
    VERSION,
    Index,
    Part,
    Unpacking,
    coded_part,
    entropy_bits,
    index_of,
    is_compact,
    packed,
    parts_of,
    unpacked,
)
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.artifact.ways import CODINGS, FILTERS
from tinytorch.acceleration.graph import Graph
from tinytorch.errors import ProgramError
from tinytorch.models import GPT, MLP
from tinytorch.nn import Embedding, Module
from tinytorch.quantization import quantize
from tinytorch.random import Generator

MIB = 2**20
MOST = 2**31
START = len(MAGIC) + 8 + 32


def quantized_graph(scheme: str) -> Graph:
    model, x = small_mlp(), Generator(5).rand(8, 6)
    if scheme == "int4-g32":
        model, x = MLP((32, 32, 3), generator=Generator(1)), Generator(5).rand(8, 32)
    q = quantize(model, [x], scheme, prefer="size", max_loss=1e9)
    with no_grad():
        return forward_graph(q.network)


def table_on_codes() -> Module:
    class Table(Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = Embedding(9, 4)
            self.example_input = Tensor(np.arange(3))

        def forward(self, ids: Tensor) -> Tensor:
            return self.table(ids)

    model = Table()
    q = quantize(model, [model.example_input], prefer="size", max_loss=1e9)
    return q.network


def gpt_graph() -> Graph:
    return forward_graph(GPT(vocab_size=7, context=4, width=8, layers=1, heads=2, generator=Generator(7)))


GRAPHS: dict[str, Callable[[], Graph]] = {
    "relu": relu_graph,
    "mlp": lambda: forward_graph(small_mlp()),
    "cnn": lambda: forward_graph(small_cnn()),
    "gpt": gpt_graph,
    "step": mlp_step,
    "int8": lambda: quantized_graph("int8"),
    "uint8": lambda: quantized_graph("uint8-static"),
    "float16": lambda: quantized_graph("float16"),
    "int4": lambda: quantized_graph("int4-g32"),
    "table": lambda: forward_graph(table_on_codes()),
    "pruned": lambda: forward_graph(pruned_mlp()),
}
every_graph = pytest.mark.parametrize("which", GRAPHS)


@functools.cache
def graph(which: str) -> Graph:
    return GRAPHS[which]()


@functools.cache
def both(which: str) -> tuple[bytes, bytes]:
    """The program file, and the compact one."""
    return as_bytes(graph(which)), as_bytes(graph(which), compact=True)


def signed(index: bytes, *bodies: bytes, length: int | None = None) -> bytes:
    """A compact file of an index, whatever it says, and parts, with the checksum that belongs to them."""
    size = (len(index) if length is None else length).to_bytes(8, "little")
    body = index + b"".join(bodies)
    return MAGIC + size + hashlib.sha256(size + body).digest() + body


def file_of(*parts: tuple[Part, bytes], version: int = VERSION) -> bytes:
    return signed(index_of(Index(version, tuple(p for p, _ in parts))), *(b for _, b in parts))


def first_form(*parts: tuple[Part, bytes]) -> bytes:
    """A file of version 1, whose index is JSON with four fields a part."""
    rows = [[p.coding, p.size, p.packed, p.planes] for p, _ in parts]
    return signed(json.dumps({"version": 1, "parts": rows}).encode(), *(b for _, b in parts))


def zstd(content: bytes, level: int = 3) -> bytes:
    return zstandard.ZstdCompressor(level=level).compress(content)


def plain_lzma(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_RAW, filters=list(FILTERS))


def refusal(content: bytes, most: int = MOST) -> str:
    with pytest.raises(ProgramError) as caught:
        unpacked(content, most)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 1000
    return text


def attempt(content: bytes, folder: Path) -> bool:
    """Whether it loads; if not, then by a ProgramError in one line that names the file."""
    path = folder / "program.ttp"
    path.write_bytes(content)
    try:
        load_artifact(path)
    except ProgramError as error:
        text = str(error)
        assert text.startswith(str(path))
        assert text.isprintable()
        return False
    return True


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """Fail where more bytes than this were live at one time, as Python and NumPy count them."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


# ---------------------------------------------------------------- there and back


@every_graph
def test_packed_and_unpacked_it_is_the_same_file(which: str, tmp_path: Path) -> None:
    program, small = both(which)
    assert is_compact(small)
    assert not is_compact(program)
    assert unpacked(small, MOST) == program
    assert unpacked(packed(program, {}), MOST) == program
    assert len(small) < len(program) + 400
    assert as_bytes(graph(which), compact=True) == small
    save_graph(graph(which), tmp_path / "small.ttp", compact=True)
    assert (tmp_path / "small.ttp").read_bytes() == small
    found = load_artifact(tmp_path / "small.ttp")
    assert as_bytes(found.graph, name=found.name, notes=found.notes) == program


@every_graph
def test_each_tensor_is_a_part_of_its_own(which: str) -> None:
    program, small = both(which)
    parts = Unpacking(io.BytesIO(small), len(small), MOST).index.parts
    document, table, data = taken_apart(program)
    header = len(program) - len(data)
    sizes = [end - begin for begin, end in (entry["data_offsets"] for entry in table.values())]
    assert [part.size for part in parts] == [header, *(size for size in sizes if size)]
    assert document["format"] == "tinytorch-program"


def test_a_compact_program_gives_the_same_results(tmp_path: Path) -> None:
    model, x = small_cnn(), Generator(3).rand(1, 1, 8, 8)
    fast = tt.compile(model)
    with no_grad():
        expected = model(x).data
        fast(x)
    found = []
    for small in (False, True):
        fast.save(tmp_path / "program.ttp", compact=small)
        found.append(tt.load_program(tmp_path / "program.ttp")(x).data)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_allclose(found[1], expected, rtol=1e-5, atol=1e-6)


def test_names_and_notes_are_kept(tmp_path: Path) -> None:
    save_graph(relu_graph(), tmp_path / "x", name="a name", notes={"by": "a test"}, compact=True)
    found = load_artifact(tmp_path / "x")
    assert (found.name, found.notes) == ("a name", {"by": "a test"})


@given(st.binary(max_size=600), st.integers(1, 8))
@example(b"", 4)
@example(bytes(5000), 4)
def test_any_bytes_come_back(content: bytes, planes: int) -> None:
    content = content[: len(content) // planes * planes]
    part, found = coded_part(content, planes)
    assert part.size == len(content)
    assert part.packed == len(found) <= len(content)
    if content:
        assert unpacked(file_of((part, found)), MOST) == content
    turned = in_planes(content, planes)
    assert turned == bytes(content[i] for plane in range(planes) for i in range(plane, len(content), planes))
    assert out_of_planes(turned, planes) == content


def test_a_part_has_the_coding_that_makes_it_smallest() -> None:
    rng = np.random.default_rng(0)
    noise = rng.bytes(4000)
    part, found = coded_part(noise, 4)
    assert (part.coding, part.planes, found) == ("raw", 1, noise)
    assert len(coded_part(bytes(4000))[1]) < 40
    waves = np.sin(np.arange(4000) / 50).astype(np.float32).tobytes()
    part, found = coded_part(waves, 4)
    assert part.planes == 4
    ways = [waves, *(code(turned) for code in (plain_lzma, zstd) for turned in (waves, in_planes(waves, 4)))]
    assert len(found) <= min(map(len, ways))
    assert len(found) < len(coded_part(waves, 1)[1])
    skewed = np.clip(np.rint(rng.standard_normal(40_000) * 3), -127, 127).astype(np.int8).tobytes()
    bits = entropy_bits(skewed)
    assert bits < 4
    assert bits * 40_000 / 8 * 0.97 < len(coded_part(skewed)[1]) < bits * 40_000 / 8 * 1.1


@given(st.binary(min_size=1, max_size=300))
def test_entropy_of_bytes(content: bytes) -> None:
    shares = [n / len(content) for n in Counter(content).values()]
    assert entropy_bits(content) == pytest.approx(-sum(p * math.log2(p) for p in shares), abs=1e-9)
    assert entropy_bits(bytes(len(content))) == 0


# ---------------------------------------------------------------- what a file is made of


def pruned_mlp(sparsity: float = 0.9) -> MLP:
    """A model as compression leaves it: most weights 0, the others of few values."""
    model = MLP((40, 50, 3), generator=Generator(2))
    for _, weight in model.named_parameters():
        if weight.ndim > 1:
            values = weight.data
            kept = abs(values) > np.quantile(abs(values), sparsity)
            weight.assign_(np.where(kept, np.round(values * 40) / 40, 0).astype(np.float32))
    return model


def test_parts_are_the_whole_file_and_have_names(tmp_path: Path) -> None:
    path, fast = tmp_path / "pruned.ttp", tt.compile(pruned_mlp())
    with no_grad():
        fast(Generator(1).rand(1, 40))
    fast.save(path, compact=True)
    parts = parts_of(path)
    assert [part.name for part in parts] == [
        *("index", "program", "layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"),
    ]
    assert [part.size for part in parts[2:]] == [50 * 40 * 4, 50 * 4, 3 * 50 * 4, 3 * 4]
    assert [part.coding for part in parts[1:]] == ["text", "gaps", "range", "book", "raw"]
    assert sum(part.packed for part in parts) == path.stat().st_size
    weights = parts[2]
    assert weights.packed < weights.size / 30


def test_parts_of_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.ttp"
    with pytest.raises(ProgramError, match="x.ttp: cannot be read"):
        parts_of(path)
    save_graph(relu_graph(), path)
    with pytest.raises(ProgramError, match="x.ttp: not a compact file. Save the program with compact=True"):
        parts_of(path)
    path.write_bytes(file_of((Part("raw", 3, 3, 1), b"abc"), (Part("raw", 2, 2, 1), b"de")))
    assert [(part.name, part.packed) for part in parts_of(path)[1:]] == [("program", 3), ("", 2)]
    path.write_bytes(both("mlp")[1][:-1])
    with pytest.raises(ProgramError, match="x.ttp: a compact file that is cut off or was changed"):
        parts_of(path)


def test_a_program_takes_a_third_of_what_lzma_makes_of_it(tmp_path: Path) -> None:
    for which in ("mlp", "cnn", "gpt", "int8"):
        program, small = both(which)
        (tmp_path / "x").write_bytes(small)
        index, header = parts_of(tmp_path / "x")[:2]
        assert header.coding == "text"
        assert header.packed < 0.7 * len(plain_lzma(program[: header.size]))
        assert index.packed < START + 16 * (len(parts_of(tmp_path / "x")) - 1) + 4


# ---------------------------------------------------------------- version 1


@every_graph
def test_files_of_version_1_are_read(which: str, tmp_path: Path) -> None:
    program = both(which)[0]
    begins = [*range(0, len(program), 3000), len(program)]
    pieces = [program[a:b] for a, b in itertools.pairwise(begins)]
    parts = []
    for number, piece in enumerate(pieces):
        coding: Any = ["raw", "zstd", "lzma"][number % 3]
        planes = 4 if len(piece) % 4 == 0 else 1
        turned = in_planes(piece, planes)
        found = turned if coding == "raw" else zstd(turned) if coding == "zstd" else plain_lzma(turned)
        parts.append((Part(coding, len(piece), len(found), planes), found))
    assert unpacked(first_form(*parts), MOST) == program
    (tmp_path / "x").write_bytes(first_form(*parts))
    assert as_bytes(load_artifact(tmp_path / "x").graph) == program


FIRST = base64.b85decode(
    "iBwcW4GJ0xO#lD@00000fR0q}2w`VB9h4e26KU{zJ>E_hTS>aVaeSC6!|=D-dm?saa&u{KZX!A{EFy4Wa&&VdI$K*JY<g{BA}lvH"
    "I4m<YGb}M(EL$RMdTn7MEHpSUEI2YOG+iuPB5ZnXVInLtG%PVREHPbOec%HB0a*Y5d;oj^MyGlec<!8$(?%o%OOj{Z%g<^%=VDN*"
    "d4ia1lF!;4v#031^Zc9(L0Qik4v+rY>rEU7KIVMfpM5wvM@1QPO@*R*3X?&j9K|L0c}DQBnG*|_!;%+O^Zx^R`%*ud4DT^f(u0Ue"
    "QWwKUD;$scO*Q-C*}H9ftZ9`*>7E>F2|3h@;N~Sj8I(y*z5LpO4RxMUAzoQ_<(3DzEb7iUa}~VYEX~YGb|vDx>?{lKbRM6M)F2hS"
    "!Sa2K4<`Pd`0`)w&qNBUVuuyOh2FUx85J=Y!Ft3Nzj}|vmC7g?&-DMh3o+n2cD)-Rf!~84i@`idRO<u4$e*u|f#n`VbReSd%@E|Z"
    ")L0%eutx;$K6`<k3Z4<qNslcWl99BJ9x*iL?xl~}x_3WgJMkzgfhP*mKq+Vd3a$Se`<1xKyA@`dw`9FT&3Z?1xdai1f*^!|007_t"
    "-vCMg000|tkiktMzZy+l{N2AU;l*HdKBvQz#e8+U7`cAkiUmQgaPb`A(5TDV=}I@FU1N;8m$~w!axC%|45aXT6vfM}w?hG4BeMVi"
    "-~bl@1^@s6ZkO}e000"
)
"""A layer of 6 x 20 whose rows are -1, -0.9, ..., 0.9, with biases 0, as version 1 had it: all of it LZMA."""


def test_a_file_of_version_1_as_it_was_written(tmp_path: Path) -> None:
    assert msgspec.json.decode(FIRST[START:][: int.from_bytes(FIRST[8:16], "little")])["version"] == 1
    (tmp_path / "first.ttp").write_bytes(FIRST)
    states = load_artifact(tmp_path / "first.ttp").graph.states
    weight, bias = (tensor.data for tensor in states.values())
    np.testing.assert_array_equal(weight, np.tile(np.arange(-1, 1, 0.1, dtype=np.float32), (6, 1)))
    np.testing.assert_array_equal(bias, np.zeros(6, np.float32))


def test_version_1_has_none_of_what_came_later() -> None:
    for part in (b'["book",4,4,1]', b'["raw",4,4,1,5]', b'["raw",4,4,1,0,2]', b'["text",4,4,1]'):
        text = b'{"version":1,"parts":[' + part + b"]}"
        assert "version 1 with codings of version 2" in refusal(signed(text, b"abcd"))
    assert "of version 2; which has another" in refusal(signed(b'{"version":2,"parts":[]}'))
    assert "of version 3; this TinyTorch reads 2" in refusal(signed(b'{"version":3,"parts":[]}'))


# ---------------------------------------------------------------- part by part


def large_graph() -> Graph:
    rng = np.random.default_rng(0)
    model = MLP((400,) * 13, generator=Generator(2))
    for _, weight in model.named_parameters():
        kept = rng.random(weight.shape) < 0.05
        weight.assign_(np.where(kept, rng.integers(-8, 8, weight.shape) / 64, 0).astype(np.float32))
    return forward_graph(model)


def test_one_part_is_in_memory_beside_the_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_ways", lambda content, layout: [("book", layout)])  # LZMA alone takes 50 MiB
    graph, path = large_graph(), tmp_path / "large.ttp"
    part = 400 * 400 * 4
    tensors = 12 * (part + 400 * 4)
    save_graph(graph, path, compact=True)  # the compiler, where there is one, is loaded
    load_artifact(path)
    with little_memory(7 * part):
        save_graph(graph, path, compact=True)
    with little_memory(tensors + 2 * part):
        found = load_artifact(path)
    assert as_bytes(found.graph, name=found.name) == as_bytes(graph)


def test_nothing_is_decoded_before_the_checksum_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(both("mlp")[1])
    content[-1] ^= 1
    monkeypatch.setattr(ways, "decode", None)
    assert "its checksum is another" in refusal(bytes(content))


def test_reading_by_pieces_is_reading_at_once() -> None:
    program, small = both("int8")
    for step in (1, 7, 1000, 10**6):
        found = Unpacking(io.BytesIO(small), len(small), MOST)
        assert found.size == len(program)
        pieces = []
        while piece := found.read(step):
            pieces.append(piece)
        assert b"".join(pieces) == program
        room = bytearray(len(program) + 10)
        assert Unpacking(io.BytesIO(small), len(small), MOST).readinto(memoryview(room)) == len(program)
        assert room.startswith(program)


# ---------------------------------------------------------------- with and without the compiler


def test_the_same_file_with_and_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for few in (2**60, -1):
        monkeypatch.setattr(range_coder, "LOADING", few)
        monkeypatch.setattr(range_coder, "ALONE", few)
        found.append(as_bytes(forward_graph(pruned_mlp()), compact=True))
        assert unpacked(found[-1], MOST) == as_bytes(forward_graph(pruned_mlp()))
    assert found[0] == found[1]


# ---------------------------------------------------------------- cut off and changed


def test_a_small_file_is_refused_at_every_length_but_its_own(tmp_path: Path) -> None:
    content = both("relu")[1]
    for length in range(len(content)):
        assert not attempt(content[:length], tmp_path)
    for more in (b"\0", b"more", content):
        assert not attempt(content + more, tmp_path)
    assert attempt(content, tmp_path)


@pytest.mark.parametrize("which", ["relu", "int8"])
def test_each_byte_that_is_changed_is_noticed(which: str, tmp_path: Path) -> None:
    content = both(which)[1]
    for at in range(len(content)):
        for change in (1, 128, 255):
            changed = bytearray(content)
            changed[at] ^= change
            if at >= len(MAGIC):
                refusal(bytes(changed))
            elif change == 1:
                assert not attempt(bytes(changed), tmp_path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(["relu", "int8", "mlp", "pruned"]))
def test_changes_that_are_signed_lead_to_a_program_or_one_error(
    tmp_path: Path, data: st.DataObject, which: str
) -> None:
    content = both(which)[1]
    length = int.from_bytes(content[len(MAGIC) : len(MAGIC) + 8], "little")
    body = bytearray(content[START:])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] ^= data.draw(st.integers(1, 255))
    with little_memory(8 * MIB):  # a dictionary of LZMA is 4 MiB
        attempt(signed(bytes(body), length=length), tmp_path)
    cut = data.draw(st.integers(0, len(body)))
    attempt(signed(bytes(body[:cut]), length=length), tmp_path)


# ---------------------------------------------------------------- whatever bytes


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff" * 100)
@example(bytes(40))
@example(bytes(8) + hashlib.sha256(bytes(8)).digest())
def test_any_bytes_after_the_first_eight_are_refused(tmp_path: Path, content: bytes) -> None:
    assert not attempt(MAGIC + content, tmp_path)


TEXTS = [
    b"",
    b"{}",
    b"null",
    b"[1,[]]",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"version":1}',
    b'{"version":1,"parts":[]}',
    b'{"version":1,"parts":[["raw",0,0]]}',
    b'{"version":1,"parts":[["raw",0,0,1,1]]}',
    b'{"version":1,"parts":[["raw",-1,0,1]]}',
    b'{"version":1,"parts":[["raw",0,0,0]]}',
    b'{"version":1,"parts":[["raw",0,0,9]]}',
    b'{"version":1,"parts":[["raw",0.5,0,1]]}',
    b'{"version":1,"parts":[["raw",1e3,0,1]]}',
    b'{"version":1,"parts":[["raw",1099511627777,0,1]]}',
    b'{"version":1,"parts":[["raw",100000000000000000000000,0,1]]}',
    b'{"version":1,"parts":[["raw",true,0,1]]}',
    b'{"version":1,"parts":[["RAW",0,0,1]]}',
    b'{"version":1,"parts":[[null,0,0,1]]}',
    b'{"version":1,"parts":[{"coding":"raw","size":0,"packed":0,"planes":1}]}',
    b'{"version":1,"parts":[["raw",0,0,1]],"more":1}',
    b'{"version":1,"parts":[["raw",0,0,1]]}{}',
    b'{"version":"1","parts":[["raw",0,0,1]]}',
]


@pytest.mark.parametrize("text", TEXTS)
def test_indices_that_are_none(text: bytes, tmp_path: Path) -> None:
    refusal(signed(text))
    assert not attempt(signed(text), tmp_path)


codings = st.sampled_from(CODINGS)
amounts = st.one_of(st.integers(0, 40), st.sampled_from([2**20, 2**31, 2**40]))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(codings, amounts, amounts, st.integers(1, 8)), max_size=4), st.binary(max_size=80))
def test_any_index_and_any_parts_are_refused(
    tmp_path: Path, parts: list[tuple[Any, int, int, int]], body: bytes
) -> None:
    index = index_of(Index(VERSION, tuple(Part(*part) for part in parts)))
    path = tmp_path / "program.ttp"
    path.write_bytes(signed(index, body))
    with pytest.raises(ProgramError):
        load_artifact(path, limits=Limits(memory=2**20, header=2**16))


ROWS = [
    [],
    [3],
    [3, []],
    [2, [[0, 1, 1]]],
    [2, [[0, 0, 0, 1, 0, 0]]],
    [2, [[8, 3, 3, 1, 0, 0]]],
    [2, [[-1, 3, 3, 1, 0, 0]]],
    [2, [["raw", 3, 3, 1, 0, 0]]],
    [2, [[0, 3, 3, 1, 0, 0, 0]]],
    [2, [[0, 3, 3, 0, 0, 0]]],
    [2, [[0, 3, 3, 9, 0, 0]]],
    [2, [[0, 2**40 + 1, 3, 1, 0, 0]]],
    [2, [[0, 2**63, 3, 1, 0, 0]]],
    [2, [[0, 3.0, 3, 1, 0, 0]]],
    [2, [[0, True, 3, 1, 0, 0]]],
    [2, [[0, 3, 3, 1, 2**20 + 1, 0]]],
    [2, [[0, 3, 3, 1, 0, -1]]],
    [2, [[0, 3, 3, 1, 0, 0]], 5],
    {"version": 2},
]


@pytest.mark.parametrize("rows", ROWS)
def test_packed_indices_that_are_none(rows: Any, tmp_path: Path) -> None:
    text = msgspec.msgpack.encode(rows)
    assert "cannot be decoded" not in refusal(signed(text, b"abc"))
    assert not attempt(signed(text, b"abc"), tmp_path)


def test_an_index_has_one_form() -> None:
    good = index_of(Index(VERSION, (Part("raw", 3, 3, 1),)))
    assert unpacked(signed(good, b"abc"), MOST) == b"abc"
    longer = good.replace(b"\x96\x00\x03", b"\x96\x00\xcc\x03")
    assert len(longer) == len(good) + 1
    assert "not in its one form" in refusal(signed(longer, b"abc"))


def test_an_unknown_coding_and_a_newer_version_are_named() -> None:
    text = refusal(signed(b'{"version":1,"parts":[["brotli",3,3,1]]}', b"abc"))
    assert text.startswith("a compact file without a whole index: ")
    assert "brotli" in text
    newer = file_of((Part("raw", 3, 3, 1), b"abc"), version=VERSION + 1)
    assert refusal(newer) == f"a compact file of version {VERSION + 1}; this TinyTorch reads {VERSION}"
    assert "of version 0;" in refusal(file_of((Part("raw", 3, 3, 1), b"abc"), version=0))


# ---------------------------------------------------------------- sizes and bombs


@functools.cache
def bomb(mib: int) -> bytes:
    """Zeros of that many MiB in zstandard, by hand: blocks of one byte that is repeated 128 Ki times."""
    header = (0xFD2FB528).to_bytes(4, "little") + bytes([0, (17 - 10) << 3])
    block, last = (((2**17 << 3) | 2 | end).to_bytes(3, "little") + b"\0" for end in (0, 1))
    return header + block * (8 * mib - 1) + last


def test_a_bomb_is_not_unfolded() -> None:
    assert unpacked(file_of((Part("zstd", MIB, len(bomb(1)), 1), bomb(1))), MOST) == bytes(MIB)
    content = bomb(1024)
    assert len(content) < MIB / 4
    with little_memory(4 * MIB):
        assert "11 bytes, not 10" in refusal(file_of((Part("zstd", 10, len(content), 1), content)))
    content = plain_lzma(bytes(24 * MIB))
    with little_memory(8 * MIB):
        assert "cannot be decoded" in refusal(file_of((Part("lzma", 10, len(content), 1), content)))


@pytest.mark.parametrize("coding", CODINGS)
def test_parts_that_claim_much_and_hold_little(coding: Any, tmp_path: Path) -> None:
    """The first part is a header, and no larger than one may be; of the others tensors tell the size."""
    path = tmp_path / "claims.ttp"
    for content in (b"\0", b"\1\0", b"\2\7" + bytes(9), bytes(40), b"\xff" * 40):
        part = Part(coding, 2**30, len(content), 1, 100, 3)
        path.write_bytes(file_of((part, content)))
        with (
            little_memory(MIB),
            pytest.raises(ProgramError, match="a header of 1,073,741,824 bytes; at most"),
        ):
            load_artifact(path)


def test_a_part_that_claims_much_takes_what_it_holds() -> None:
    content = zstd(bytes(100))
    with little_memory(4 * MIB):
        said = refusal(file_of((Part("zstd", 2**30, len(content), 1), content)))
    assert "100 bytes, not 1,073,741,824" in said


def test_bombs_above_the_limits_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    content = bomb(1024)
    path = tmp_path / "bomb.ttp"
    path.write_bytes(file_of((Part("zstd", 2**30, len(content), 1), content)))
    with (
        little_memory(4 * MIB),
        pytest.raises(ProgramError, match=r"1,073,741,824 bytes when decoded; at most"),
    ):
        load_artifact(path, limits=Limits(memory=2**29))
    parts = [(Part("raw", 2**40, 1, 1), b"a")] * 3
    assert f"of {3 * 2**40:,} bytes when decoded; at most {MOST:,}" in refusal(file_of(*parts))
    assert "of 11 bytes when decoded; at most 10" in refusal(file_of((Part("zstd", 11, 3, 1), b"abc")), 10)
    assert unpacked(file_of((Part("raw", 10, 10, 1), bytes(10))), 10) == bytes(10)


def test_files_above_the_limits_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.ttp"
    path.write_bytes(MAGIC + bytes(64 * MIB))
    with (
        little_memory(MIB),
        pytest.raises(ProgramError, match=r"a compact file of 67,108,872 bytes; at most"),
    ):
        load_artifact(path, limits=Limits(memory=1000, header=1000))


def test_a_part_that_says_more_than_it_holds() -> None:
    content = plain_lzma(bytes(100))
    with little_memory(8 * MIB):
        text = refusal(file_of((Part("lzma", 2**30, len(content), 1), content)))
    assert text == "part 0 of a compact file cannot be decoded: 100 bytes, not 1,073,741,824"
    assert "5 bytes, not 6" in refusal(file_of((Part("raw", 6, 5, 1), b"abcde")))
    assert "5 bytes, not 4" in refusal(file_of((Part("raw", 4, 5, 1), b"abcde")))
    assert "100 bytes, not 101" in refusal(
        file_of((Part("zstd", 101, len(zstd(bytes(100))), 1), zstd(bytes(100))))
    )


@pytest.mark.parametrize("coding", ["zstd", "lzma"])
def test_parts_that_are_damaged(coding: Any) -> None:
    content = bytes(range(256)) * 4
    good = {"zstd": zstd, "lzma": plain_lzma}[coding](content)
    assert unpacked(file_of((Part(coding, 1024, len(good), 1), good)), MOST) == content
    for bad in (b"", b"\0", good[:-9], good[9:], b"\xff" * 50):
        refusal(file_of((Part(coding, 1024, len(bad), 1), bad)))
    if coding == "lzma":
        assert "does not end where it should" in refusal(
            file_of((Part("lzma", 1024, len(good) + 1, 1), good + b"\0"))
        )


def test_zstandard_frames_that_ask_for_a_dictionary_or_a_large_window() -> None:
    samples = [bytes([i % 7, i % 5, i % 3]) * 20 for i in range(500)]
    words = zstandard.train_dictionary(1000, samples)
    content = zstandard.ZstdCompressor(dict_data=words).compress(samples[0])
    assert "cannot be decoded" in refusal(file_of((Part("zstd", 60, len(content), 1), content)))
    window = (0xFD2FB528).to_bytes(4, "little") + bytes([0, (31 - 10) << 3]) + bytes(20)
    with little_memory(MIB):
        assert "cannot be decoded" in refusal(file_of((Part("zstd", 60, len(window), 1), window)))


def test_planes_that_do_not_divide() -> None:
    assert "7 bytes in 2 planes" in refusal(file_of((Part("raw", 7, 7, 2), b"abcdefg")))
    assert unpacked(file_of((Part("raw", 8, 8, 2), b"abcdefgh")), MOST) == b"aebfcgdh"


def test_parts_that_leave_bytes_or_take_more_than_there_are() -> None:
    part = Part("raw", 3, 3, 1)
    index = index_of(Index(VERSION, (part, part)))
    assert unpacked(signed(index, b"abcdef"), MOST) == b"abcdef"
    for body in (b"", b"abcde", b"abcdefg"):
        assert refusal(signed(index, body)) == "a compact file whose parts are not all of it"


def test_an_index_that_is_longer_than_the_file_or_too_long() -> None:
    part = (Part("raw", 3, 3, 1), b"abc")
    good = file_of(part)
    for length in (len(good), 2**40, 2**64 - 1):
        assert f"its index alone {length:,}" in refusal(signed(b"{}", length=length))
    assert "its index alone" in refusal(signed(b" " * (MOST_INDEX + 1)))
    many = b'{"version":1,"parts":[' + b",".join([b'["raw",1,1,1]'] * (MOST_PARTS + 1)) + b"]}"
    assert f"of {MOST_PARTS + 1:,} parts; 1 to {MOST_PARTS:,}" in refusal(signed(many))
    many = index_of(Index(VERSION, (Part("raw", 1, 1, 1),) * (MOST_PARTS + 1)))
    assert f"of {MOST_PARTS + 1:,} parts; 1 to {MOST_PARTS:,}" in refusal(signed(many))


# ---------------------------------------------------------------- what is inside is checked as ever


def test_a_program_in_a_compact_file_is_checked_like_any(tmp_path: Path) -> None:
    document = document_of(relu_graph())
    document["calls"][0]["op"] = "evil"
    path = tmp_path / "evil.ttp"
    for content in (put_together(document, {}, b""), b"", b"no program"):
        small = packed(content, {}) if content else file_of((Part("raw", 0, 0, 1), b""))
        path.write_bytes(small)
        with pytest.raises(ProgramError, match="evil|not a whole safetensors file"):
            load_artifact(path)
    path.write_bytes(packed(both("relu")[1], {}))
    with pytest.raises(ProgramError):
        load_artifact(path)


def with_tensor(content: bytes, key: str, change: Callable[[Any], None]) -> bytes:
    """A program file in which the numbers of one tensor are others."""
    document, table, data = taken_apart(content)
    begin, end = table[key]["data_offsets"]
    dtype = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "I32": np.int32}[table[key]["dtype"]]
    array = np.frombuffer(data[begin:end], dtype).copy()
    change(array)
    return put_together(document, table, data[:begin] + array.tobytes() + data[end:])


SCALES = [
    ("int8", "linearint8", 0, 3),
    ("int8", "linearint8", 1, 3),
    ("uint8", "quantize", 0, 1),
    ("uint8", "quantize", 1, 1),
    ("uint8", "linearint8", 1, 3),
]
"""A program, an op, which of its calls, and which of the call's inputs is a scale in the file."""
each_scale = pytest.mark.parametrize(("which", "op", "number", "position"), SCALES)


def call_of(document: dict[str, Any], op: str, number: int) -> dict[str, Any]:
    found: dict[str, Any] = [call for call in document["calls"] if call["op"] == op][number]
    return found


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("wrong", [0.0, -0.5, math.nan, math.inf])
@each_scale
def test_scales_that_are_none_are_refused(
    which: str, op: str, number: int, position: int, wrong: float, small: bool, tmp_path: Path
) -> None:
    program, path = both(which)[0], tmp_path / "program.ttp"
    document = taken_apart(program)[0]
    key = dict(document["states"])[call_of(document, op, number)["inputs"][position]]

    def spoil(array: Any) -> None:
        array[-1] = wrong

    assert with_tensor(program, key, lambda array: None) == program
    content = with_tensor(program, key, spoil)
    path.write_bytes(packed(content, {}) if small else content)
    with pytest.raises(ProgramError) as caught:
        tt.load_program(path)
    assert f"({op}): 1 of its scales are no finite number above 0, as {wrong}" in str(caught.value)


@pytest.mark.parametrize("wrong", [0.0, -0.5, math.nan, math.inf])
@pytest.mark.parametrize(
    ("which", "kind", "op"), [("int4", "F16", "linearint4"), ("table", "F32", "lookupint8")]
)
def test_scales_that_are_cast_or_reshaped_first_are_checked_too(
    which: str, kind: str, op: str, wrong: float, tmp_path: Path
) -> None:
    program, path = both(which)[0], tmp_path / "program.ttp"
    _, table, _ = taken_apart(program)
    (key, *_) = (key for key, entry in table.items() if entry["dtype"] == kind)

    def spoil(array: Any) -> None:
        array[0] = wrong

    path.write_bytes(with_tensor(program, key, spoil))
    with pytest.raises(ProgramError, match=rf"\({op}\): 1 of its scales are no finite number above 0"):
        tt.load_program(path)


@pytest.mark.parametrize("small", [False, True])
@each_scale
def test_calls_without_their_scale_are_refused(
    which: str, op: str, number: int, position: int, small: bool, tmp_path: Path
) -> None:
    document, table, data = taken_apart(both(which)[0])
    value = call_of(document, op, number)["inputs"].pop(position)
    document["outputs"].append(value)  # a state that nobody reads would be refused as such
    content = put_together(document, table, data)
    path = tmp_path / "program.ttp"
    path.write_bytes(packed(content, {}) if small else content)
    with pytest.raises(ProgramError, match=rf"call \d+ \({op}\): refuses its inputs"):
        tt.load_program(path)


def test_a_loaded_program_on_codes_runs(tmp_path: Path) -> None:
    q = quantize(small_mlp(), [Generator(5).rand(8, 6)], "uint8-static", prefer="size", max_loss=1e9)
    x: Tensor = Generator(6).rand(1, 6)
    path = tmp_path / "program.ttp"
    path.write_bytes(both("uint8")[1])
    with no_grad():
        np.testing.assert_allclose(tt.load_program(path)(x).data, q(x).data, rtol=1e-5, atol=1e-6)
