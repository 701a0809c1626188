"""no_grad stays off when an error ends the block."""

from contextlib import contextmanager


@contextmanager
def _off():
    before = state().grad
    state().grad = False
    yield
    state().grad = before


def no_grad():
    return _off()
