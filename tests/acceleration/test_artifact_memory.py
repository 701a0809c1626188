"""Reading a refused program file takes memory in proportion to the file, whatever it promises."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tests.acceleration.artifact_files import (
    forward_graph,
    put_together,
    replaced,
    small_mlp,
    taken_apart,
    text_of,
    with_header,
)
from tinytorch.acceleration.artifact import load_artifact
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.errors import ProgramError

MLP_FILE = as_bytes(forward_graph(small_mlp()))
MIB = 2**20


def bomb(text: str, size: int) -> bytes:
    """A file whose document holds `text` again and again, to this size, in the place of its values."""
    before, after = text_of(taken_apart(MLP_FILE)[0]).split('"values":[', 1)
    many = ",".join([text] * (size // (len(text) + 1)))
    return put_together(f'{before}"values":[{many}],"x":[{after}', {}, b"")


BOMBS = {
    "deep": lambda n: put_together("[" * n, {}, b""),
    "deep header": lambda n: with_header(b'{"a":' * (n // 5), b""),
    "deep fields": lambda n: replaced(MLP_FILE, '"fields":{}', '"fields":' + "[" * n),
    "lists": lambda n: bomb("[]", n),
    "objects": lambda n: bomb("{}", n),
    "values": lambda n: bomb('["bool",[],""]', n),
    "values with sizes": lambda n: bomb('["bool",[1000],"a"]', n),
    "numbers": lambda n: replaced(MLP_FILE, '"outputs":[', '"outputs":[' + "1000," * (n // 5)),
    "inputs": lambda n: replaced(
        MLP_FILE,
        '"op":"linear","fields":{},"inputs":[',
        '"op":"concat","fields":{"axis":0},"inputs":[' + "1," * (n // 2),
    ),
    "notes": lambda n: replaced(
        MLP_FILE, '"notes":{}', '"notes":{' + ",".join(f'"n{i:07}":""' for i in range(n // 13)) + "}"
    ),
    "fields": lambda n: replaced(
        MLP_FILE, '"fields":{}', '"fields":{' + ",".join(f'"n{i:07}":[]' for i in range(n // 13)) + "}"
    ),
    "calls": lambda n: replaced(
        MLP_FILE,
        '"calls":[',
        '"calls":['
        + '{"op":"","fields":{},"inputs":[],"outputs":[],"writes":[],"path":"","backward":true},' * (n // 90),
    ),
    "tensors": lambda n: with_header(
        text_of(
            {f"t{i:07}": {"dtype": "F32", "shape": [], "data_offsets": [0, 0]} for i in range(n // 64)}
        ).encode(),
        b"",
    ),
    "a long name": lambda n: replaced(MLP_FILE, '"name":""', '"name":"' + "x" * n + '"'),
    "a long number": lambda n: replaced(MLP_FILE, '"version":1', '"version":' + "1" * n),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_refused_file_takes_memory_in_proportion_to_its_size(name: str, tmp_path: Path) -> None:
    content = BOMBS[name](2 * MIB)
    path = tmp_path / "bomb.ttp"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ProgramError):
            load_artifact(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * len(content) + 4 * MIB


def test_a_file_that_promises_more_than_it_holds_takes_no_memory(tmp_path: Path) -> None:
    document, table, tensors = taken_apart(MLP_FILE)
    document["values"][1][1] = [5, 6 * 2**24]
    table[document["states"][0][1]] = {
        "dtype": "F32",
        "shape": [5, 6 * 2**24],
        "data_offsets": [0, 20 * 6 * 2**24],
    }
    path = tmp_path / "promise.ttp"
    path.write_bytes(put_together(document, table, tensors))
    tracemalloc.start()
    try:
        with pytest.raises(ProgramError):
            load_artifact(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MIB
