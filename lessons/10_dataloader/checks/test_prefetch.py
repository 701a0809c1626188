"""Prefetching by one background thread: order, depth, errors, and an end."""

import threading

from helpers import SECONDS, in_time

from tinytorch.data.prefetch import prefetched
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise


class Source:
    """Gives 0, 1, 2, ...; notes who takes them, and says when so many were asked for."""

    def __init__(self, count, wait_for=0, fails_at=None):
        self.count, self.fails_at = count, fails_at
        self.given, self.threads, self.daemon = 0, set(), None
        self.wait_for, self.reached = wait_for, threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        self.threads.add(threading.get_ident())
        self.daemon = threading.current_thread().daemon
        if self.given == self.fails_at:
            raise OSError("the disk is gone")
        if self.given == self.count:
            raise StopIteration
        self.given += 1
        if self.given == self.wait_for:
            self.reached.set()
        return self.given - 1


def alive(source):
    """Whether a thread that took items of this source is still running."""
    return any(t.ident in source.threads for t in threading.enumerate())


def some(iterator, count):
    """The first so many items."""
    return [next(iterator) for _ in range(count)]


def until_error(iterator):
    """The items before an error, and the error."""
    items = []
    try:
        for item in iterator:
            items.append(item)
    except OSError as error:
        return items, str(error)
    return items, None


@exercise("prefetched")
def test_all_items_in_order():
    expect.equal("in_time(lambda: list(prefetched(iter('abcde'), 2)))", list("abcde"))
    expect.equal("in_time(lambda: list(prefetched(iter(range(20)), 1)))", list(range(20)))
    expect.equal("in_time(lambda: list(prefetched(iter(()), 3)))", [])


@exercise("prefetched")
def test_items_that_are_empty_or_none():
    expect.equal("in_time(lambda: list(prefetched(iter([None, 0, '', None]), 2)))", [None, 0, "", None])


@exercise("prefetched")
def test_another_thread_takes_them():
    source = Source(4)
    expect.equal("in_time(lambda: list(prefetched(source, 2)))", [0, 1, 2, 3])
    expect.true("len(source.threads) == 1", "one thread takes all items")
    expect.true("threading.get_ident() not in source.threads", "it is not that of the consumer")
    expect.true("not alive(source)", "the thread has ended with the items")


@exercise("prefetched")
def test_it_works_ahead():
    source = Source(100, wait_for=4)
    items = prefetched(source, 3)
    expect.equal("in_time(lambda: next(items))", 0)
    expect.true("source.reached.wait(SECONDS)", "items are taken while the consumer is busy with the first")
    in_time(items.close)


@exercise("prefetched")
def test_but_not_further_than_its_depth():
    source = Source(100, wait_for=7)
    items = prefetched(source, 3)
    expect.equal("in_time(lambda: some(items, 2))", [0, 1])
    expect.true("not source.reached.wait(0.05)", "at most 3 wait in the queue and 1 in the thread's hands")
    in_time(items.close)


@exercise("prefetched")
def test_an_error_comes_in_its_place():
    source = Source(9, fails_at=3)
    expect.equal("in_time(lambda: until_error(prefetched(source, 2)))", ([0, 1, 2], "the disk is gone"))
    expect.true("not alive(source)", "the thread has ended")


@exercise("prefetched")
def test_leaving_early_ends_the_thread():
    source = Source(1000, wait_for=900)
    items = prefetched(source, 2)
    expect.equal("in_time(lambda: some(items, 3))", [0, 1, 2])
    expect.value("in_time(items.close)")
    expect.true("not alive(source)", "the thread ends when the consumer stops early")
    expect.true("not source.reached.is_set()", "the rest of the items is left alone")


@exercise("prefetched")
def test_the_thread_is_a_daemon():
    expect.equal("in_time(lambda: list(prefetched(iter('ab'), 1)))", ["a", "b"])  # so that the next returns
    source = Source(2)
    expect.equal("list(prefetched(source, 1))", [0, 1])
    expect.true("source.daemon", "the thread is a daemon, which does not keep the interpreter from ending")
