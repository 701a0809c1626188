"""GGUF files: what is in them is read, what is wrong is named, and a small file takes little memory."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import gguf_files as files
from tests.models.gguf_files import ARRAY, BOOL, F32, F64, I8, I16, I32, I64, STRING, U8, U16, U32, U64, pair
from tinytorch.errors import ModelFileError
from tinytorch.models.gguf import GGUF
from tinytorch.models.gguf_text import ChatText, read_text
from tinytorch.models.llama import Llama
from tinytorch.models.llama_files import load_gguf
from tinytorch.text.merges import MergesTokenizer

MEMORY = 2**24
"""Bytes, for a file of some kB: a table of angles of 4 MiB, made in float64, is the most it can ask for."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@contextmanager
def bounded() -> Iterator[None]:
    """Little memory is taken in the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def load(path: Path, expand: bool = False) -> tuple[ChatText, Llama]:
    with GGUF(path) as file:
        return read_text(file), load_gguf(file, expand)


def refused(path: Path, content: bytes, reason: str, read: Callable[[Path], object] = GGUF) -> None:
    """The file is refused in one line that names it, and for this reason."""
    path.write_bytes(content)
    with bounded(), pytest.raises(ModelFileError, match=reason) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) or "the model's chat template" in message
    assert len(message) < len(str(path)) + 400
    assert message.isprintable()


def reasons_only(value: object) -> str:
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------- what is read


def test_metadata_of_all_types(path: Path) -> None:
    given_pairs = {
        "u8": (U8, 255),
        "i8": (I8, -128),
        "u16": (U16, 65535),
        "i16": (I16, -32768),
        "u32": (U32, 2**32 - 1),
        "i32": (I32, -(2**31)),
        "f32": (F32, 0.15625),
        "yes": (BOOL, True),
        "no": (BOOL, False),
        "text": (STRING, "漢 \0 é"),
        "empty": (STRING, ""),
        "u64": (U64, 2**64 - 1),
        "i64": (I64, -(2**63)),
        "f64": (F64, 0.1),
    }
    arrays = {f"{key}s": (ARRAY, (kind, [content, content])) for key, (kind, content) in given_pairs.items()}
    path.write_bytes(files.write({**given_pairs, **arrays}, {}))
    with GGUF(path) as file:
        assert file.tensors == {}
        for key, (kind, content) in given_pairs.items():
            assert file.metadata[key] == content
            assert file.metadata[f"{key}s"] == [content, content]
            for found in (file.metadata[key], file.metadata[f"{key}s"][0]):
                assert type(found) is {F32: float, F64: float, STRING: str, BOOL: bool}.get(kind, int)


def test_arrays_within_arrays_and_empty_ones(path: Path) -> None:
    nested = (ARRAY, [(I32, [1, 2]), (STRING, ["a", ""]), (ARRAY, [(U8, []), (F64, [0.5])])])
    path.write_bytes(files.write({"nested": (ARRAY, nested), "none": (ARRAY, (STRING, []))}, {}))
    with GGUF(path) as file:
        assert file.metadata == {"nested": [[1, 2], ["a", ""], [[], [0.5]]], "none": []}
    path.write_bytes(files.whole([deep(4)], []))
    with GGUF(path) as file:
        assert file.metadata == {"deep": [[[[]]]]}


@pytest.mark.parametrize("alignment", [None, 1, 8, 64, 4096])
def test_tensors_of_all_types_at_any_alignment(path: Path, alignment: int | None) -> None:
    rng = np.random.default_rng(1)
    tensors = {
        "vector": ("F32", rng.standard_normal(3)),
        "matrix": ("F16", rng.standard_normal((3, 5))),
        "four": ("Q4_0", rng.standard_normal((2, 64))),
        "one": ("Q4_1", rng.standard_normal((3, 32))),
        "eight": ("Q8_0", rng.standard_normal((2, 3, 32))),
        "k": ("Q4_K", rng.standard_normal((1, 1, 2, 512))),
    }
    metadata = {} if alignment is None else {"general.alignment": (U32, alignment)}
    path.write_bytes(files.write(metadata, tensors, alignment or 32))
    with GGUF(path) as file:
        assert list(file.tensors) == list(tensors)
        for name, (kind, array) in tensors.items():
            info = file.tensors[name]
            assert (info.shape, info.type.name) == (array.shape, kind)
            assert file.raw(info).tobytes() == files.stored(kind, array)
            found = file.array(file.info(name, *array.shape))
            assert (found.shape, found.dtype) == (array.shape, np.float32)
            steps = {"F32": 1e-7, "F16": 1e-3, "Q8_0": 1 / 127}.get(kind, 1 / 8)
            assert np.abs(found - array).max() <= steps * np.abs(array).max()
    found += 1  # what is read is a copy: the file is closed


def test_what_is_asked_for_and_is_not_there(path: Path) -> None:
    path.write_bytes(
        files.write({"n": (U32, 3), "yes": (BOOL, True)}, {"w": ("F32", np.ones((2, 3), np.float32))})
    )
    with GGUF(path) as file:
        assert (file.get("n", int), file.get("m", int, 7), file.get("yes", bool)) == (3, 7, True)
        for key, kind, reason in (
            ("m", int, r"m is missing"),
            ("n", str, r"n is int '3'"),
            ("yes", int, r"yes is bool 'True'"),
        ):
            with pytest.raises(ModelFileError, match=reason):
                file.get(key, kind)
        with pytest.raises(ModelFileError, match=r"there is no tensor v"):
            file.info("v", 2, 3)
        with pytest.raises(ModelFileError, match=r"w is \(2, 3\); the metadata make it \(3, 2\)"):
            file.info("w", 3, 2)


# ---------------------------------------------------------------- what is no whole file


def test_no_file_a_folder_an_empty_file(path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no such file"):
        GGUF(path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        GGUF(path.parent)
    with pytest.raises(ModelFileError, match="cannot be read"):
        GGUF("a\0b")
    refused(path, b"", "cannot be read")


def head(tensors: int = 0, pairs: int = 0, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, tensors, pairs)


def deep(levels: int) -> bytes:
    """A pair that is so many arrays within each other."""
    inner = struct.pack("<IQ", ARRAY, 1) * (levels - 1) + struct.pack("<IQ", U8, 0)
    return files.string("deep") + struct.pack("<I", ARRAY) + inner


FOUR = np.ones((2, 4), np.float32).tobytes()
LARGE = 2**63
CASES = {
    "magic": (head(magic=b"GGML"), "is no GGUF file"),
    "text": (b"Once upon a time", "is no GGUF file"),
    "version": (head(version=2), "version 2; version 3, little-endian, is read"),
    "newer": (head(version=4), "version 4; version 3"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "a big-endian file"),
    "many tensors": (
        head(tensors=LARGE),
        "the number of tensors is 9,223,372,036,854,775,808, more than fit",
    ),
    "many pairs": (head(pairs=LARGE), "the number of metadata is .* more than fit"),
    "pairs of nothing": (head(pairs=1), "more than fit into the file|cut off"),
    "long key": (head(pairs=1) + struct.pack("<QII", LARGE, 4, 4), "the length of a key is .* more than fit"),
    "more tensors": (head(tensors=2) + bytes(39), "the number of tensors is 2, more than fit"),
    "more pairs": (head(pairs=4) + bytes(40), "the number of metadata is 4, more than fit"),
    "key": (files.whole([pair(b"\xff\xfe", U8, 0)], []), "a key before byte .* is no UTF-8"),
    "text of a key": (
        files.whole([pair("k", STRING, b"\xed\xa0\x80")], []),
        "'k' before byte .* is no UTF-8",
    ),
    "twice": (files.whole([pair("k", U8, 0), pair("k", U8, 1)], []), "the key 'k' comes twice"),
    "type": (
        files.whole([pair("k", U8, 0)[:-5] + struct.pack("<IB", 13, 0)], []),
        "'k' has the unknown type 13",
    ),
    "key of two lines": (
        files.whole([pair("k\n\x1b[2J", U8, 0)[:-5] + struct.pack("<IB", 99, 0)], []),
        r"'k\\n\\x1b\[2J' has the unknown type 99",
    ),
    "element": (
        files.whole([files.string("k") + struct.pack("<IIQQQ", ARRAY, 13, 1, 0, 0)], []),
        "'k' has the unknown type 13",
    ),
    "long text": (
        files.whole([files.string("k") + struct.pack("<IQ", STRING, LARGE)], []),
        "the length of 'k' is .* more than fit",
    ),
    "long array": (
        files.whole([files.string("k") + struct.pack("<IIQ", ARRAY, F64, LARGE)], []),
        "the length of 'k' is .* more than fit",
    ),
    "array of long arrays": (
        files.whole([files.string("k") + struct.pack("<IIQIQ", ARRAY, ARRAY, 1, ARRAY, LARGE)], []),
        "the length of 'k' is .* more than fit",
    ),
    "deep": (files.whole([deep(5)], []), "too many arrays in each other"),
    "deeper": (files.whole([deep(5000)], []), "too many arrays in each other"),
    "axes": (files.whole([], [files.named("w", (1,) * 5, 0, 0)], FOUR), "tensor 'w' has 5 axes"),
    "no axes": (files.whole([], [files.named("w", (), 0, 0)], FOUR), "tensor 'w' has 0 axes"),
    "many axes": (
        files.whole([], [files.string("w") + struct.pack("<IQQ", 2**32 - 1, 0, 0)], FOUR),
        "tensor 'w' has 4294967295 axes",
    ),
    "kind": (files.whole([], [files.named("w", (4,), 14, 0)], FOUR), "'w' is stored as Q6_K .*can be read"),
    "no kind": (files.whole([], [files.named("w", (4,), 77, 0)], FOUR), "'w' is stored as type 77 "),
    "no elements": (files.whole([], [files.named("w", (0, 4), 0, 0)], FOUR), r"the shape \(0, 4\) as F32"),
    "overflow": (
        files.whole([], [files.named("w", (2**32, 2**32), 0, 0)], FOUR),
        r"the shape \(4294967296, 4294967296\) as F32",
    ),
    "largest": (files.whole([], [files.named("w", (2**64 - 1,) * 4, 0, 0)], FOUR), "the shape"),
    "part of a block": (files.whole([], [files.named("w", (2, 16), 2, 0)], FOUR), r"\(2, 16\) as Q4_0"),
    "part of a large block": (files.whole([], [files.named("w", (128,), 12, 0)], bytes(144)), "as Q4_K"),
    "name": (files.whole([], [files.named(b"\xff", (4,), 0, 0)], FOUR), "the name of a tensor .* no UTF-8"),
    "two names": (
        files.whole([], [files.named("w", (2,), 0, 0), files.named("w", (2,), 0, 32)], bytes(64)),
        "two tensors have the same name",
    ),
    "beyond": (
        files.whole([], [files.named("w", (9,), 0, 0)], FOUR),
        "tensor 'w' lies at bytes .*the file has",
    ),
    "far beyond": (
        files.whole([], [files.named("w", (4,), 0, 2**64 - 32)], FOUR),
        "tensor 'w' lies at bytes",
    ),
    "unaligned": (files.whole([], [files.named("w", (2,), 0, 4)], FOUR), "tensor 'w' lies at bytes"),
    "overlap": (
        files.whole([], [files.named("w", (12,), 0, 0), files.named("v", (8,), 0, 32)], bytes(96)),
        "tensors 'w' and 'v' overlap",
    ),
    "the same place": (
        files.whole([], [files.named("w", (2,), 0, 32), files.named("v", (2,), 0, 32)], bytes(96)),
        "tensors 'w' and 'v' overlap",
    ),
    **{
        f"alignment {content}": (
            files.whole([pair("general.alignment", kind, content)], [files.named("w", (8,), 0, 0)], FOUR),
            "the alignment is .*, not a power of two",
        )
        for kind, content in ((U32, 0), (U32, 24), (U32, 2**31), (I32, -32), (STRING, "32"), (BOOL, True))
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_file_is_refused_by_name(path: Path, name: str) -> None:
    refused(path, *CASES[name])


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    metadata = {"general.alignment": (U32, 32), "text": (STRING, "é"), "list": (ARRAY, (U16, [1, 2]))}
    content = files.write(metadata, {"w": ("Q8_0", np.ones((2, 32))), "v": ("F32", np.ones(8))})
    path.write_bytes(content)
    GGUF(path).close()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ModelFileError, match="cut off|damaged|cannot be read"):
            GGUF(path)


# ---------------------------------------------------------------- what is no Llama


def changed(**config: Any) -> Callable[..., bytes]:
    """A tiny Llama with other metadata, and tensors that are there or, as None, are not."""

    def content(metadata: dict[str, Any], tensors: dict[str, Any]) -> bytes:
        whole = {**files.llama_metadata(**config), **metadata}
        weights = {**files.llama_tensors(files.llama_weights(**config)), **tensors}
        return files.write(
            {key: one for key, one in whole.items() if one is not None},
            {name: one for name, one in weights.items() if one is not None},
        )

    return content


TINY = changed(layers=1)
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"general.architecture": (STRING, "qwen2\n" * 99)}, "architecture 'qwen2.*; llama is read"),
        ({"general.architecture": (U32, 1)}, "general.architecture is int"),
        ({"general.architecture": None}, "general.architecture is missing"),
        ({"llama.embedding_length": None}, "llama.embedding_length is missing"),
        ({"llama.embedding_length": (F32, 64.0)}, "llama.embedding_length is float"),
        ({"llama.embedding_length": (BOOL, True)}, "llama.embedding_length is bool"),
        ({"llama.embedding_length": (U32, 0)}, "llama.embedding_length is 0, not in"),
        ({"llama.embedding_length": (I32, -64)}, "llama.embedding_length is -64, not in"),
        ({"llama.embedding_length": (U32, 128)}, r"token_embd.weight is \(264, 64\); the metadata make it"),
        ({"llama.block_count": (U32, 0)}, "llama.block_count is 0"),
        ({"llama.block_count": (U32, 2)}, "there is no tensor blk.1.attn_q.weight"),
        ({"llama.block_count": (U32, 2**20)}, "says it has 1,048,576 layers .* with 11 tensors"),
        ({"llama.block_count": (U64, 2**63)}, "llama.block_count is .*, not in 1"),
        ({"llama.context_length": (U32, 2**20)}, "says it has .* 1,048,576 positions"),
        ({"llama.context_length": (U64, 2**40)}, "llama.context_length is"),
        ({"llama.feed_forward_length": (U32, 2**20)}, r"ffn_gate.weight is \(96, 64\)"),
        ({"llama.feed_forward_length": (U32, 97)}, r"ffn_gate.weight is \(96, 64\)"),
        (
            {"llama.attention.head_count": (U32, 3)},
            "2 heads of keys, 3 of queries, width 64: each must divide",
        ),
        ({"llama.attention.head_count": (U32, 64)}, "have an even number of features"),
        ({"llama.attention.head_count": (U32, 2**20)}, "each must divide"),
        ({"llama.attention.head_count_kv": (U32, 3)}, "each must divide"),
        (
            {"llama.attention.head_count_kv": (U32, 1)},
            r"attn_k.weight is \(32, 64\); the metadata make it \(16",
        ),
        ({"llama.attention.head_count_kv": (ARRAY, (U32, [2, 2]))}, "head_count_kv is list"),
        ({"llama.rope.dimension_count": (U32, 8)}, "rotary positions on 8 features of 64 / 4"),
        ({"llama.rope.scaling.type": (STRING, "yarn")}, "llama.rope.scaling.type is 'yarn'"),
        ({"llama.rope.scaling.factor": (F32, 2.0)}, "llama.rope.scaling.factor is '2.0'"),
        ({"llama.rope.scale_linear": (F32, 2.0)}, "llama.rope.scale_linear is"),
        ({"llama.expert_count": (U32, 8)}, "llama.expert_count is '8'"),
        ({"llama.expert_count": (ARRAY, (U32, [8] * 999))}, "llama.expert_count is"),
        *(({"llama.rope.freq_base": (F32, x)}, "the base is") for x in (NAN, INF, -INF, -1.0, 0.0, 0.5)),
        *(({"llama.attention.layer_norm_rms_epsilon": (F32, x)}, "the eps is") for x in (NAN, INF, -1e-5)),
        ({"llama.rope.freq_base": (U32, 10000)}, "llama.rope.freq_base is int"),
    ],
    ids=reasons_only,
)
def test_metadata_that_make_no_model(path: Path, metadata: dict[str, Any], reason: str) -> None:
    refused(path, TINY(metadata, {}), reason, load)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"token_embd.weight": None}, "there is no tensor token_embd.weight"),
        ({"token_embd.weight": ("F32", np.ones((264, 64, 1)))}, "there is no tensor token_embd.weight"),
        ({"blk.0.attn_q.weight": None}, "there is no tensor blk.0.attn_q.weight"),
        ({"blk.0.ffn_norm.weight": None}, "there is no tensor blk.0.ffn_norm.weight"),
        ({"output_norm.weight": None}, "there is no tensor output_norm.weight"),
        (
            {"output_norm.weight": ("F32", np.ones(32))},
            r"output_norm.weight is \(32,\); the metadata make it",
        ),
        (
            {"output_norm.weight": ("Q8_0", np.ones(64))},
            "output_norm.weight is stored as Q8_0, but belongs to",
        ),
        (
            {"blk.0.attn_norm.weight": ("Q4_1", np.ones(64))},
            "attn_norm.weight is stored as Q4_1, but belongs",
        ),
        ({"blk.0.attn_v.weight": ("F32", np.ones((64, 32)))}, r"attn_v.weight is \(64, 32\)"),
        ({"output.weight": ("F32", np.ones((9, 64)))}, r"output.weight is \(9, 64\)"),
        ({"blk.0.attn_q.bias": ("F32", np.ones(64))}, "'blk.0.attn_q.bias' is no tensor of a Llama model"),
        ({"rope_freqs.weight": ("F32", np.ones(8))}, "'rope_freqs.weight' is no tensor of a Llama"),
        ({"blk.1.attn_norm.weight": ("F32", np.ones(64))}, "'blk.1.attn_norm.weight' is no tensor"),
        ({"\n\x1b[2J": ("F32", np.ones(64))}, r"'\\n\\x1b\[2J' is no tensor"),
    ],
    ids=reasons_only,
)
def test_tensors_that_make_no_model(path: Path, tensors: dict[str, Any], reason: str) -> None:
    refused(path, TINY({}, tensors), reason, load)


def test_a_table_of_angles_may_be_as_large_as_the_weights(path: Path) -> None:
    """What a head of one feature pair asks for is little, what a wide one does is not."""
    metadata = {"llama.context_length": (U32, 2**16)}  # times 16 features: 4 MiB
    path.write_bytes(TINY(metadata, {}))
    assert load(path)[1].context == 2**16
    refused(path, TINY({"llama.context_length": (U32, 2**17)}, {}), "131,072 positions", load)


def test_a_wide_head_takes_no_memory_before_its_tensors_are_seen(path: Path) -> None:
    metadata = {
        "llama.embedding_length": (U32, 2**16),
        "llama.attention.head_count": (U32, 1),
        "llama.attention.head_count_kv": (U32, 1),
    }
    refused(path, TINY(metadata, {}), r"token_embd.weight is \(264, 64\)", load)


# ---------------------------------------------------------------- what is no tokenizer


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"tokenizer.ggml.model": (STRING, "llama" * 99)}, "a tokenizer of the kind 'llama.*gpt2"),
        ({"tokenizer.ggml.model": None}, "tokenizer.ggml.model is missing"),
        ({"tokenizer.ggml.tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"tokenizer.ggml.tokens": (STRING, "abc")}, "tokenizer.ggml.tokens is str"),
        ({"tokenizer.ggml.tokens": (ARRAY, (U32, [1]))}, "tokens is no list of text"),
        ({"tokenizer.ggml.tokens": (ARRAY, (STRING, []))}, "tokens is no list of text"),
        ({"tokenizer.ggml.tokens": (ARRAY, (STRING, ["a", "b"]))}, "2 tokens, but 264 rows"),
        ({"tokenizer.ggml.tokens": (ARRAY, (STRING, ["a"] * 264))}, "263 of its tokens come twice"),
        ({"tokenizer.ggml.token_type": (ARRAY, (I32, [1]))}, "264 tokens, but 1 types"),
        ({"tokenizer.ggml.token_type": (I32, 1)}, "token_type is int"),
        ({"tokenizer.ggml.merges": None}, "tokenizer.ggml.merges is missing"),
        ({"tokenizer.ggml.merges": (ARRAY, (STRING, ["lo"]))}, "merge 0, 'lo', .*makes no token"),
        (
            {"tokenizer.ggml.merges": (ARRAY, (STRING, ["l o", "x y" * 99]))},
            "merge 1, 'x yx y.*makes no token",
        ),
        ({"tokenizer.ggml.pre": (STRING, "other" * 999)}, "pieces are cut as 'other.*which is not known"),
        ({"tokenizer.ggml.pre": (U32, 1)}, "tokenizer.ggml.pre is int"),
        ({"tokenizer.ggml.eos_token_id": (U32, 264)}, "the eos token is 264, which is no id"),
        ({"tokenizer.ggml.eos_token_id": (I32, -1)}, "the eos token is -1, which is no id"),
        ({"tokenizer.ggml.eot_token_id": (BOOL, True)}, "the eot token is True, which is no id"),
        (
            {"tokenizer.ggml.bos_token_id": (STRING, "x"), "tokenizer.ggml.add_bos_token": (BOOL, True)},
            "the bos token is x, which is no id",
        ),
        (
            {
                "tokenizer.ggml.eos_token_id": None,
                "tokenizer.ggml.token_type": (ARRAY, (I32, [1] * 264)),
            },
            "no token ends a text",
        ),
    ],
    ids=reasons_only,
)
def test_metadata_that_make_no_tokenizer(path: Path, metadata: dict[str, Any], reason: str) -> None:
    refused(path, TINY(metadata, {}), reason, load)


def test_the_text_of_a_file(path: Path) -> None:
    files.tiny(path)
    text, model = load(path)
    end, start = files.TOKENS.index("<|im_end|>"), files.TOKENS.index("<|im_start|>")
    assert text.ends == (end, files.TOKENS.index("<|endoftext|>"))
    assert text.begin is None
    assert text.tokenizer.split == "smollm"
    assert text.tokenizer.vocab_size == model.vocab_size
    assert text.tokenizer.encode("low<|im_end|>", specials=True).tolist() == [257, end]
    path.write_bytes(TINY({"tokenizer.ggml.add_bos_token": (BOOL, True)}, {}))
    assert load(path)[0].begin == start
    others = {
        "tokenizer.ggml.eos_token_id": None,
        "tokenizer.ggml.eot_token_id": (U32, 7),
        "tokenizer.ggml.pre": None,
        "tokenizer.ggml.token_type": None,
        "tokenizer.chat_template": None,
    }
    path.write_bytes(TINY(others, {}))
    text, _ = load(path)
    assert (text.ends, text.template, text.tokenizer.split) == ((7,), None, "default")
    with pytest.raises(ModelFileError, match="no chat template: use `tito generate`"):
        text.prompt([])


# ---------------------------------------------------------------- chat templates


CHAT = [{"role": "user", "content": "Hi {{ 1 }}"}, {"role": "assistant", "content": " <b> "}]


def prompt(template: str, chat: list[dict[str, str]] = CHAT) -> str:
    tokenizer = MergesTokenizer(files.TOKENS, files.MERGES)
    ends = (files.TOKENS.index("<|im_end|>"),)
    return ChatText(tokenizer, ends, files.TOKENS.index("<|im_start|>"), template).prompt(chat)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            files.TEMPLATE,
            "<|im_start|>user\nHi {{ 1 }}<|im_end|>\n<|im_start|>assistant\n <b> <|im_end|>\n"
            "<|im_start|>assistant\n",
        ),
        ("{{ bos_token }}{{ messages[-1].content | trim }}{{ eos_token }}", "<|im_start|><b><|im_end|>"),
        ("{% for m in messages %}{{ loop.index0 }}{{ loop.last }}{{ m.role|upper }}\n{% endfor %}", None),
        ("{{ messages|tojson }}", None),
        ("{{ messages[1:][0]['content'].strip().replace('b', 'bb') }}", "<bb>"),
        (
            "{% set ns = namespace(n=1) %}{% for m in messages %}{% set ns.n = ns.n + 2 %}{% endfor %}"
            "{{ ns.n }}",
            "5",
        ),
        ("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f('a') ~ f(3 * 4) }}", "[a][12]"),
        ("{% set x %}a{{ 'b' }}{% endset %}{{ x + x }}{% filter upper %}c{% endfilter %}", "ababC"),
        ("{{ messages|map(attribute='role')|join(', ') }}", "user, assistant"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ nothing }}", "a1"),
        ("{{ range(3)|list }}{{ messages|length }}{{ 7 % 4 }}{{ 'i' in 'Hi' }}", "[0, 1, 2]23True"),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "Hi {{ 1 }}"),
        ("    {% if true %}\nx\n    {% endif %}\ny", "x\ny"),
    ],
)
def test_a_template_writes_a_chat(template: str, expected: str | None) -> None:
    lists = {
        "{% for": "0FalseUSER\n1TrueASSISTANT\n",
        "{{ mes": '[{"role": "user", "content": "Hi {{ 1 }}"}, {"role": "assistant", "content": " <b> "}]',
    }
    assert prompt(template) == (lists[template[:6]] if expected is None else expected)


GROWING = "{%% set n = namespace(a='xx') %%}{%% for i in range(60) %%}%s{%% endfor %%}{{ n.a }}"
HOSTILE = {
    "{% for i in range(10**9) %}x{% endfor %}": "not allowed",
    "{% for i in range(1000000000) %}x{% endfor %}": "Range too big",
    "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}": "does not come to an end",
    "{% set s = 'x'.join %}{{ 'aaaaaaaaaa' }}": "'join' of str is not allowed",
    "{% for a in 'aaaaaaaaaa' %}" * 9 + "{% endfor %}" * 9: "does not come to an end",
    "{% for i in range(9) %}" * 30 + "{% endfor %}" * 30: "too many statically nested blocks",
    "{% for i in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}": "recursion",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(3) }}": "recursion",
    "{% macro f(x) %}{% if x %}{{ f(x-1) }}{{ f(x-1) }}{% endif %}{% endmacro %}{{ f(99) }}": "an end",
    "{{ '' + 'x' * 1000000000 }}": "not allowed",
    "{{ 9 ** 9 ** 9 }}": "not allowed",
    "{{ 9999999999 * 9999999999 * 9999999999 }}": "not allowed",
    "{{ '%1000000000d' % 1 }}": "not allowed",
    "{{ '{:1000000000}'.format(1) }}": "'format' of str is not allowed",
    "{{ 'x'.center(1000000000) }}": "'center' of str is not allowed",
    "{{ 'x'|center(1000000000) }}": "No filter named 'center'",
    "{{ (5).to_bytes(1000000000) }}": "'to_bytes' of int is not allowed",
    "{{ lipsum(n=100000) }}": "'lipsum' is undefined",
    GROWING % "{% set n.a = n.a ~ n.a %}": "does not come to an end",
    GROWING % "{% set n.a = n.a + n.a %}": "does not come to an end",
    GROWING % "{% set n.a = n.a.replace('x', 'xx') %}": "does not come to an end",
    GROWING % "{% set n.a = n.a|replace('x', n.a) %}": "does not come to an end",
    GROWING % "{% set n.a = [n.a, n.a]|join(n.a) %}": "does not come to an end",
    GROWING % "{% set n.a = [n.a, n.a] %}": "does not come to an end",
    GROWING % "{% set n.a = (n.a, n.a) %}": "does not come to an end",
    GROWING % "{% set n.a = {'a': n.a, 'b': n.a} %}": "does not come to an end",
    GROWING % "{% set n.a = namespace(a=n.a, b=n.a) %}": "does not come to an end",
    GROWING % "{% set m = namespace() %}{% set m.a = n.a %}{% set m.b = n.a %}{% set n.a = m %}": "an end",
    GROWING % "{% set m %}{{ n.a }}{{ n.a }}{% endset %}{% set n.a = m %}": "does not come to an end",
    GROWING % "{% set n.a = n %}": "does not come to an end",
    "{% set n = namespace() %}{% for i in range(99999) %}{% set m = namespace() %}"
    "{% set m.a = [" + "1," * 9999 + "] %}{% set m.b = n.p %}{% set n.p = m %}{% endfor %}": "an end",
    "{% for i in range(99999) %}" + "x" * 999 + "{% endfor %}": "more than 4,194,304 characters",
    "{{ ''.__class__ }}": "'__class__' of str is not allowed",
    "{{ ''['__class__'] }}": "'__class__' of str is not allowed",
    "{{ ''|attr('__class__') }}": "No filter named 'attr'",
    "{{ messages.__class__.__mro__ }}": "'__class__' of list is not allowed",
    "{{ messages|map(attribute='__class__')|list }}": "'__class__' of dict is not allowed",
    "{{ cycler.__init__.__globals__ }}": "'__init__' of type is not allowed",
    "{{ raise_exception.__globals__ }}": "'__globals__' of function is not allowed",
    "{{ messages.append(1) }}": "'append' of list is not allowed",
    "{{ messages[0].update(a=1) }}": "'update' of dict is not allowed",
    "{% if %}": "Expected an expression",
    "{% for m in messages %}": "Unexpected end of template",
    "{{ messages": "unexpected end of template|expected token",
    "{{ 1|no_such_filter }}": "No filter named 'no_such_filter'",
    "{{ no_such_name.x }}": "'no_such_name' is undefined",
    "{{ no_such_function() }}": "'no_such_function' is undefined",
    "{{ raise_exception('roles must\n take turns') }}": "does not work: roles must take turns",
    "{{ 1 / 0 }}": "division by zero",
    "{{ 1 + 'x' }}": "unsupported operand",
    "{% include 'x' %}": "no loader",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": "recursion",
    "{{ ''.replace() }}": "does not work",
}


@pytest.mark.parametrize("template", HOSTILE, ids=lambda text: text[:60])
def test_a_hostile_template_is_refused_in_little_memory(template: str) -> None:
    """Every one of them comes to an end, too: without the account many would run for years."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=HOSTILE[template]) as caught:
            prompt(template)
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()


def test_a_template_leaves_the_chat_as_it_is_and_takes_a_long_one() -> None:
    chat = [{"role": "user", "content": "word " * 2000} for _ in range(100)]
    text = prompt(files.TEMPLATE, chat)
    assert (
        len(text) == sum(len(m["content"]) for m in chat) + 100 * len("<|im_start|>user\n<|im_end|>\n") + 22
    )
    assert chat[0] == {"role": "user", "content": "word " * 2000}


# ---------------------------------------------------------------- whatever is in a file


FUZZED = {
    kind: TINY({}, files.llama_tensors(files.llama_weights(layers=1), kind)) for kind in ("Q8_0", "F16")
}


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A small file with some bytes changed, left out or put in: in the header more often than in weights."""
    content = bytearray(FUZZED[draw(st.sampled_from(sorted(FUZZED)))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.one_of(st.integers(0, 700), st.integers(0, 9000), st.integers(0, len(content))))
        kind = draw(st.sampled_from(["change", "number", "leave out", "put in", "cut"]))
        if kind == "change":
            content[at % len(content)] = draw(st.integers(0, 255))
        elif kind == "number":
            number = draw(st.sampled_from([0, 1, 2**20, 2**31, 2**32, 2**62, 2**63, 2**64 - 1]))
            content[at : at + 8] = struct.pack("<Q", number)
        elif kind == "leave out":
            del content[max(1, at) : at + draw(st.integers(1, 40))]
        elif kind == "put in":
            content[at:at] = draw(st.binary(min_size=1, max_size=40))
        else:
            del content[max(1, at) :]
    return bytes(content)


@settings(max_examples=300)
@given(spoilt())
def test_a_spoilt_file_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "spoilt.gguf"
    path.write_bytes(content)
    with bounded():
        try:
            text, model = load(path)
            text.tokenizer.encode("the low")
            text.prompt(CHAT)
        except ModelFileError as error:
            reasons = [str(error)]
        else:
            reasons = []
            assert model.vocab_size == text.tokenizer.vocab_size
    assert all(reason.isprintable() for reason in reasons)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, begins: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.gguf"
    path.write_bytes(head(0, 3) + content if begins else content)
    with bounded(), suppress(ModelFileError):
        GGUF(path).close()
