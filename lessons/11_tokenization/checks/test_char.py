"""The character tokenizer, and the check that all decoding begins with."""

import numpy as np

from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.text.char import CharTokenizer
from tinytorch.text.common import check_ids


@exercise("CharTokenizer.train")
def test_the_vocabulary_is_in_the_order_of_code_points():
    expect.equal('CharTokenizer.train("banana split").characters', " abilnpst")
    expect.equal('CharTokenizer.train("Zebra \\U0001f600\\u00e9").characters', " Zaber\u00e9\U0001f600")
    expect.equal('CharTokenizer.train("a").vocab_size', 1)


@exercise("CharTokenizer.train")
def test_unk_is_added_once():
    expect.equal('CharTokenizer.train("hello", unk="?").characters', "?ehlo")
    expect.equal('CharTokenizer.train("hello", unk="?").unk', "?")
    expect.equal('CharTokenizer.train("what?", unk="?").characters', "?ahtw")
    expect.equal('CharTokenizer.train("hello").unk', None)
    expect.equal('CharTokenizer.train("", unk="_").characters', "_")


@exercise("CharTokenizer.train")
def test_no_text():
    expect.raises('CharTokenizer.train("")', DataError, "empty")
    expect.raises('CharTokenizer.train("abc", unk="??")', DataError, "unk")


@exercise("CharTokenizer.train")
def test_a_class_of_its_own():
    class Mine(CharTokenizer):
        pass

    expect.true("type(Mine.train('ab')) is Mine", "train of a subclass makes one of that subclass")


@exercise("CharTokenizer.encode")
def test_ids_are_places_in_the_vocabulary():
    tokenizer = CharTokenizer(" abn\U0001f600")
    expect.close('tokenizer.encode("banana \\U0001f600")', np.array([2, 1, 3, 1, 3, 1, 0, 4]), dtype=np.int32)
    expect.close('tokenizer.encode("")', np.zeros(0), dtype=np.int32)


@exercise("CharTokenizer.encode")
def test_unknown_characters_become_unk():
    tokenizer = CharTokenizer("?ab", unk="?")
    expect.close('tokenizer.encode("bxa?!a")', np.array([2, 0, 1, 0, 0, 1]), dtype=np.int32)
    last = CharTokenizer("ab~", unk="~")
    expect.close('last.encode("a b")', np.array([0, 2, 1]), dtype=np.int32)


@exercise("CharTokenizer.encode")
def test_unknown_characters_without_unk():
    tokenizer = CharTokenizer("bdf")
    expect.raises('tokenizer.encode("bdxz")', DataError, "'x'", "2")
    expect.raises('tokenizer.encode("aab")', DataError, "'a'", "0")
    expect.raises('tokenizer.encode("fg")', DataError, "'g'", "1")


@exercise("CharTokenizer.encode")
def test_any_text_of_the_vocabulary(rng):
    characters = "".join(sorted({chr(int(point)) for point in rng.integers(33, 0x2FFF, size=40)}))
    tokenizer = CharTokenizer(characters)
    ids = rng.integers(0, len(characters), size=30)
    text = "".join(characters[i] for i in ids)
    expect.equal("tokenizer.encode(text)", ids)


@exercise("check_ids")
def test_good_ids_become_an_array(rng):
    expect.close("check_ids([3, 0, 2], vocab_size=4)", np.array([3, 0, 2]), dtype=np.int64)
    ids = rng.integers(0, 9, size=7).astype(np.int32)
    expect.close("check_ids(ids, 9)", ids, dtype=np.int64)
    small = np.array([1, 200], np.uint8)
    expect.close("check_ids(small, 201)", np.array([1, 200]), dtype=np.int64)


@exercise("check_ids")
def test_no_ids_are_fine():
    expect.close("check_ids([], 4)", np.zeros(0), dtype=np.int64)
    none = np.zeros(0, np.int32)
    expect.close("check_ids(none, 4)", np.zeros(0), dtype=np.int64)


@exercise("check_ids")
def test_ids_out_of_range():
    expect.raises("check_ids([0, 1, 4, 9], 4)", DataError, "4", "2", "3")
    expect.raises("check_ids([5, 0, -1], 9)", DataError, "-1", "2", "8")
    expect.raises("check_ids([0], 0)", DataError, "0")


@exercise("check_ids")
def test_what_is_no_sequence_of_ids():
    expect.raises("check_ids([[0, 1], [2, 3]], 4)", ShapeError, "(2, 2)")
    expect.raises("check_ids(3, 4)", ShapeError, "()")
    expect.raises("check_ids([0.0, 1.0], 4)", DTypeError)
    expect.raises("check_ids([True, False], 4)", DTypeError)


@exercise("check_ids", "CharTokenizer.decode")
def test_decoding():
    tokenizer = CharTokenizer(" abn\U0001f600")
    expect.equal("tokenizer.decode([2, 1, 3, 1, 0, 4])", "ban\u0061 \U0001f600")
    expect.equal("tokenizer.decode(np.array([3, 2]))", "nb")
    expect.equal("tokenizer.decode([])", "")


@exercise("check_ids", "CharTokenizer.decode")
def test_decoding_refuses_what_are_no_ids():
    tokenizer = CharTokenizer("abc")
    expect.raises("tokenizer.decode([0, 1, 0, -1])", DataError, "-1", "3")
    expect.raises("tokenizer.decode([3])", DataError, "3", "2")
    expect.raises("tokenizer.decode([[0]])", ShapeError, "(1, 1)")
    expect.raises("tokenizer.decode([1.0])", DTypeError)


@exercise("CharTokenizer.train", "CharTokenizer.encode", "check_ids", "CharTokenizer.decode")
def test_round_trip():
    text = "na\u00efve caf\u00e9 \u4e2d\u6587 \U0001f600, the cat"
    expect.equal("CharTokenizer.train(text).decode(CharTokenizer.train(text).encode(text))", text)
