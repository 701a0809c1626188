"""Learning merges: the pairs, their counts, and which goes first."""

from collections import Counter

from helpers import SAMPLE, learned, replaced, some_pieces

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.text.bpe import BPETokenizer, count_pairs, learn_merges, merge


@exercise("merge")
def test_a_pair_becomes_one():
    expect.equal("merge([5, 1, 2, 5, 1, 2], (1, 2), 256)", [5, 256, 5, 256])
    expect.equal("merge([1, 2, 1, 2], (1, 2), 9)", [9, 9])
    expect.equal("merge([2, 1, 2, 1], (1, 2), 9)", [2, 9, 1])
    expect.equal("merge([1, 1, 2], (1, 2), 9)", [1, 9])


@exercise("merge")
def test_equal_neighbours_do_not_overlap():
    expect.equal("merge([1, 1, 1], (1, 1), 9)", [9, 1])
    expect.equal("merge([1, 1, 1, 1], (1, 1), 9)", [9, 9])
    expect.equal("merge([0, 1, 1, 1, 1, 1, 0], (1, 1), 9)", [0, 9, 9, 1, 0])


@exercise("merge")
def test_nothing_to_merge():
    expect.equal("merge([], (1, 2), 9)", [])
    expect.equal("merge([1], (1, 2), 9)", [1])
    expect.equal("merge([1, 3], (1, 2), 9)", [1, 3])
    expect.equal("merge([3, 2], (1, 2), 9)", [3, 2])
    expect.equal("merge([2, 1], (1, 2), 9)", [2, 1])


@exercise("merge")
def test_the_list_given_stays(rng):
    ids = rng.integers(0, 3, size=40).tolist()
    before = list(ids)
    expect.equal("merge(ids, (1, 2), 7)", replaced(before, (1, 2), 7))
    expect.equal("merge(ids, (0, 0), 300)", replaced(before, (0, 0), 300))
    expect.equal("ids", before)


@exercise("count_pairs")
def test_pairs_of_words_count_as_often_as_the_words():
    expect.equal("count_pairs([[1, 2, 1, 2], [2, 1]], [1, 10])", Counter({(2, 1): 11, (1, 2): 2}))
    expect.equal("count_pairs([[1, 1, 1]], [3])", Counter({(1, 1): 6}))
    expect.equal("count_pairs([[4], [], [5, 6]], [7, 8, 9])", Counter({(5, 6): 9}))
    expect.equal("count_pairs([], [])", Counter())


@exercise("count_pairs")
def test_pairs_of_many_words(rng):
    words = [rng.integers(0, 4, size=int(rng.integers(1, 9))).tolist() for _ in range(10)]
    times = rng.integers(1, 6, size=10).tolist()
    want = Counter()
    for word, number in zip(words, times, strict=True):
        for i in range(len(word) - 1):
            want[word[i], word[i + 1]] += number
    expect.equal("count_pairs(words, times)", want)


NEEDS = ("merge", "count_pairs", "learn_merges")


@exercise(*NEEDS)
def test_merges_by_hand():
    # e-s (3 + 2) before s-t (3): then es-t, and t-es-t has no rival that occurs twice
    pieces = Counter({b"test": 3, b"yes": 2})
    expect.equal("learn_merges(pieces, 3)", [(101, 115), (116, 256), (257, 116)])
    expect.equal("learn_merges(pieces, 1)", [(101, 115)])
    expect.equal("learn_merges(pieces, 0)", [])


@exercise(*NEEDS)
def test_ties_go_to_the_smallest_ids():
    pieces = Counter({b"yx": 2, b"ba": 2, b"bz": 2})
    expect.equal("learn_merges(pieces, 3)", [(98, 97), (98, 122), (121, 120)])
    pieces = Counter({b"ab": 3, b"zz": 3, b"abzz": 1})
    # a new id is larger than any byte, so that z-z goes before ab-z
    expect.equal("learn_merges(pieces, 2)", [(97, 98), (122, 122)])


@exercise(*NEEDS)
def test_it_ends_when_no_pair_occurs_twice():
    expect.equal('learn_merges(Counter({b"abcd": 1}), 5)', [])
    expect.equal('learn_merges(Counter({b"ab": 2}), 5)', [(97, 98)])
    expect.equal('learn_merges(Counter({b"abab": 1}), 5)', [(97, 98)])
    expect.equal('learn_merges(Counter({b"a": 9}), 5)', [])
    expect.equal("learn_merges(Counter(), 5)", [])


@exercise(*NEEDS)
def test_runs_of_one_byte():
    pieces = Counter({b"aaaaaaa": 2, b"aaa": 1})
    expect.equal("learn_merges(pieces, 9)", learned(pieces, 9))


@exercise(*NEEDS)
def test_counts_change_as_merges_go_on(rng):
    for _ in range(6):
        pieces = Counter(some_pieces(rng))
        expect.equal("learn_merges(pieces, 15)", learned(pieces, 15))


@exercise(*NEEDS)
def test_training_on_text():
    tokenizer = expect.value("BPETokenizer.train(SAMPLE * 2, vocab_size=300)")
    expect.equal("len(tokenizer.merges)", 44)
    expect.equal('BPETokenizer.train("low low lower", 259).merges', [(108, 111), (256, 119), (32, 257)])
    expect.equal('BPETokenizer.train("a a a", 300, specials=["<end>"]).specials', {"<end>": 257})
