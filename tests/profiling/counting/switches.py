"""The switches of this thread's ops, to compare before and after a count."""

from typing import Any

from tinytorch.ops.context import state


def switches() -> tuple[Any, ...]:
    here = state()
    return here.meta, here.grad, here.backward, here.path, here.observers, here.watched
