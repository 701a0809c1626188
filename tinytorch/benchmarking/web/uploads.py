"""Uploads: limits of size and rate, and what is looked at before anything is stored."""

from __future__ import annotations

import io
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from tinytorch.acceleration.artifact import compact, container
from tinytorch.acceleration.artifact.document import decode
from tinytorch.acceleration.artifact.validate import check_document
from tinytorch.benchmarking.competition import BASELINE
from tinytorch.benchmarking.entry import Entry, parse
from tinytorch.benchmarking.events import LARGEST, LIMITS
from tinytorch.benchmarking.recipe import steps_of
from tinytorch.errors import BenchmarkError, ProgramError

MOST_BYTES = LARGEST + 2**20
"""Of a whole request."""
PER_MINUTE = 30
"""Uploads that one address may send."""
ADDRESSES = 10_000


class Rate:
    """How many requests an address has sent in the last minute; `clock` gives seconds.

    >>> rate = Rate(2, lambda: 0.0)
    >>> [rate.allows("here") for _ in range(3)], rate.allows("there")
    ([True, True, False], True)
    """

    def __init__(self, most: int = PER_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.clock = most, clock
        self._sent: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Whether one more is allowed; if so it is counted."""
        now = self.clock()
        sent = self._sent.setdefault(address, deque())
        self._sent.move_to_end(address)
        while len(self._sent) > ADDRESSES:
            self._sent.popitem(last=False)
        while sent and sent[0] <= now - 60:
            sent.popleft()
        if len(sent) >= self.most:
            return False
        sent.append(now)
        return True


def uploaded(description: bytes, program: bytes) -> Entry:
    """The entry in two uploaded files; raises BenchmarkError, before anything is stored, for what is none.

    Of a program only what is cheap is looked at: its checksum or header, its sizes and its ops. The rest
    happens in a box, when its turn comes.
    """
    text = parse(description)
    if text.team == BASELINE:
        raise BenchmarkError(f"team {BASELINE}: the baselines' own; choose another name")
    if text.division == "closed":
        if program:
            raise BenchmarkError("a closed entry is its steps: leave the program out")
        steps_of(text.steps)
        return Entry(text, b"", description.decode())
    if not program:
        raise BenchmarkError(
            f"the program is missing: upload {text.program or 'a file'} beside the description"
        )
    if len(program) > LARGEST:
        raise BenchmarkError(f"a program of {len(program):,} bytes; at most {LARGEST:,}")
    try:
        _glance(program)
    except ProgramError as error:
        raise BenchmarkError(f"program: {error}") from None
    return Entry(text, program, description.decode())


def _glance(program: bytes) -> None:
    """Look at what costs little; raises ProgramError."""
    file = io.BytesIO(program)
    if compact.is_compact(program[: len(compact.MAGIC)]):
        compact.Unpacking(file, len(program), LIMITS.memory + LIMITS.header)
        return
    header = container.read_header(file, len(program), LIMITS.header)
    check_document(decode(container.document_in(header)), LIMITS)
