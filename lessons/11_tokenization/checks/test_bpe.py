"""Encoding and decoding with merges and special tokens, and the round trip of any bytes."""

import numpy as np
from helpers import SAMPLE, encoded, learned, some_pieces

from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.text.bpe import BPETokenizer
from tinytorch.text.ngram import NGram

PIECE = ("merge", "BPETokenizer.encode_piece")


@exercise(*PIECE)
def test_merges_go_in_the_order_learned():
    # b-c was learned before a-b: of abc it leaves a, bc, though a-b comes first in the piece
    tokenizer = BPETokenizer([(98, 99), (97, 98), (97, 256)])
    expect.equal('tokenizer.encode_piece(b"abc")', [258])
    expect.equal('tokenizer.encode_piece(b"ab")', [257])
    expect.equal('tokenizer.encode_piece(b"xabbc")', [120, 257, 256])
    tokenizer = BPETokenizer([(98, 99), (97, 98)])
    expect.equal('tokenizer.encode_piece(b"abc")', [97, 256])  # though a-b is a token, and as long


@exercise(*PIECE)
def test_pieces_without_merges():
    tokenizer = BPETokenizer([(97, 98)])
    expect.equal('tokenizer.encode_piece(b"")', [])
    expect.equal('tokenizer.encode_piece(b"a")', [97])
    expect.equal('tokenizer.encode_piece(b"\\xff\\x00")', [255, 0])
    expect.equal('tokenizer.encode_piece(b"ba")', [98, 97])
    expect.equal('BPETokenizer().encode_piece(b"abab")', [97, 98, 97, 98])


@exercise(*PIECE)
def test_a_merge_of_merges_and_of_runs():
    tokenizer = BPETokenizer([(97, 97), (256, 256)])
    expect.equal('tokenizer.encode_piece(b"aaaaaaa")', [257, 256, 97])
    expect.equal('tokenizer.encode_piece(b"aaaaaaaa")', [257, 257])


@exercise(*PIECE)
def test_any_merges_and_pieces(rng):
    merges = learned(some_pieces(rng, 30), 20)
    tokenizer = BPETokenizer(merges)
    for piece in some_pieces(rng, 12):
        expect.equal("tokenizer.encode_piece(piece)", encoded(piece, merges))


@exercise("BPETokenizer.split_specials")
def test_special_tokens_split_the_bytes():
    tokenizer = BPETokenizer(specials=["<a>", "<b>"])
    expect.equal('list(tokenizer.split_specials(b"x<b>yz<a>"))', [(b"x", 257), (b"yz", 256), (b"", None)])
    expect.equal('list(tokenizer.split_specials(b"<a><a>x"))', [(b"", 256), (b"", 256), (b"x", None)])
    expect.equal('list(tokenizer.split_specials(b"no < a > b"))', [(b"no < a > b", None)])
    expect.equal('list(tokenizer.split_specials(b""))', [(b"", None)])


@exercise("BPETokenizer.split_specials")
def test_the_longest_special_token_counts():
    tokenizer = BPETokenizer(specials=["<", "<end>", "<end"])
    expect.equal(
        'list(tokenizer.split_specials(b"a<end>b<end<c"))',
        [(b"a", 257), (b"b", 258), (b"", 256), (b"c", None)],
    )


@exercise("BPETokenizer.split_specials")
def test_special_tokens_are_plain_text_not_patterns():
    tokenizer = BPETokenizer([(97, 98)], specials=["a.c", "[x]", "\u00e9|"])
    expect.equal('list(tokenizer.split_specials(b"abc[x]x"))', [(b"abc", 258), (b"x", None)])
    raw = "1\u00e9|2a.c".encode()
    expect.equal("list(tokenizer.split_specials(raw))", [(b"1", 259), (b"2", 257), (b"", None)])


@exercise("BPETokenizer.split_specials")
def test_without_special_tokens():
    tokenizer = BPETokenizer()
    expect.equal('list(tokenizer.split_specials(b"a<end>"))', [(b"a<end>", None)])


ENCODE = (*PIECE, "BPETokenizer.split_specials", "BPETokenizer.encode")


@exercise(*ENCODE)
def test_text_is_cut_into_pieces_before_merging():
    # the space leads the word: "a b" is a, space-b, so that a-space is never merged
    tokenizer = BPETokenizer([(97, 32), (32, 98), (98, 98)])
    expect.close('tokenizer.encode("a bb")', np.array([97, 257, 98]), dtype=np.int32)
    expect.close('tokenizer.encode(b"bb bb")', np.array([258, 257, 98]), dtype=np.int32)


@exercise(*ENCODE)
def test_text_and_bytes_are_the_same_thing():
    tokenizer = BPETokenizer([(195, 169)])
    expect.close('tokenizer.encode("caf\\u00e9")', np.array([99, 97, 102, 256]), dtype=np.int32)
    expect.close('tokenizer.encode("caf\\u00e9".encode())', np.array([99, 97, 102, 256]), dtype=np.int32)
    expect.close('tokenizer.encode("")', np.zeros(0), dtype=np.int32)
    expect.close("tokenizer.encode(bytes(range(256)))", np.arange(256), dtype=np.int32)


@exercise(*ENCODE)
def test_special_tokens_count_only_when_meant():
    tokenizer = BPETokenizer([(97, 97)], specials=["<s>", "</s>"])
    want = np.array([257, 256, 120, 258, 257])
    expect.close('tokenizer.encode("<s>aax</s><s>", specials=True)', want, dtype=np.int32)
    plain = np.array([60, 115, 62, 256])
    expect.close('tokenizer.encode("<s>aa")', plain, dtype=np.int32)
    expect.close('tokenizer.encode("<s>aa", specials=False)', plain, dtype=np.int32)


@exercise(*ENCODE)
def test_what_cannot_be_encoded():
    tokenizer = BPETokenizer()
    expect.raises("tokenizer.encode([1, 2])", DTypeError, "list")
    expect.raises('tokenizer.encode("ab\\ud800")', DataError, "2")


DECODE = ("check_ids", "BPETokenizer.decode")


@exercise(*DECODE)
def test_ids_become_bytes():
    tokenizer = BPETokenizer([(108, 111), (256, 119)], specials=["<\u00e9>"])
    expect.equal("tokenizer.decode([257, 33, 256])", b"low!lo")
    expect.equal("tokenizer.decode([258, 0, 255])", "<\u00e9>".encode() + b"\x00\xff")
    expect.equal("tokenizer.decode([])", b"")
    expect.equal("tokenizer.decode(np.array([97, 98], np.int32))", b"ab")
    expect.equal("tokenizer.decode_text([60, 195])", "<\ufffd")


@exercise(*DECODE)
def test_ids_that_do_not_exist():
    tokenizer = BPETokenizer([(108, 111)])
    expect.raises("tokenizer.decode([97, 257])", DataError, "257", "1", "256")
    expect.raises("tokenizer.decode([-1])", DataError, "-1")
    expect.raises("tokenizer.decode([[97]])", ShapeError, "(1, 1)")
    expect.raises("tokenizer.decode([97.0])", DTypeError)


@exercise("count_pairs", "learn_merges", *ENCODE, *DECODE)
def test_any_bytes_come_back(rng):
    tokenizer = BPETokenizer.train(SAMPLE * 2, 340, specials=["<end>"])
    raw = rng.integers(0, 256, size=300).astype(np.uint8).tobytes()
    expect.equal("tokenizer.decode(tokenizer.encode(raw))", raw)
    expect.equal("tokenizer.decode_text(tokenizer.encode(SAMPLE))", SAMPLE)
    expect.equal('tokenizer.decode(tokenizer.encode("a<end> b", specials=True))', b"a<end> b")
    expect.true(
        "len(tokenizer.encode(SAMPLE)) < 0.6 * len(SAMPLE.encode())",
        "the text it was trained on gets shorter",
    )


@exercise("NGram.bits_per_byte")
def test_a_model_that_knows_nothing_needs_eight_bits():
    expect.close('NGram(b"", 2).bits_per_byte(b"any text")', 8.0)
    expect.close('NGram(b"", 1).bits_per_byte(bytes([0, 255]))', 8.0)


@exercise("NGram.bits_per_byte")
def test_bits_by_hand():
    # after "ab" x 3, order 1: P(a) = P(b) = (3 + 2/256) / 8, and P(c) = (2/256) / 8
    model = NGram(b"ababab", 1)
    known, unknown = np.log2(8 / (3 + 2 / 256)), np.log2(8 * 256 / 2)
    expect.close('model.bits_per_byte(b"ab")', known)
    expect.close('model.bits_per_byte(b"abac")', (3 * known + unknown) / 4)
    expect.true('type(model.bits_per_byte(b"ab")) is float', "the result is a plain float")


@exercise("NGram.bits_per_byte")
def test_no_text_has_no_score():
    model = NGram(b"abc", 2)
    expect.raises('model.bits_per_byte(b"")', DataError)
