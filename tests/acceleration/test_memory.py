"""The memory plan: safe for any lives, tight, and looked over before a program relies on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.acceleration import memory
from tinytorch.acceleration.memory import ALIGNMENT, Life, best_gap, place_buffers, plan_memory, rounded
from tinytorch.errors import ProgramError

STEPS = 12
lives = st.lists(
    st.builds(
        lambda nbytes, ends: Life(nbytes, *sorted(ends)),
        st.integers(0, 700),
        st.tuples(st.integers(0, STEPS - 1), st.integers(0, STEPS - 1)),
    ),
    max_size=25,
)


@given(lives)
def test_no_byte_belongs_to_two_buffers_at_a_step(buffers: list[Life]) -> None:
    offsets, total = plan_memory(buffers)
    for step in range(STEPS):
        owner = np.full(total, -1)
        for i, life in enumerate(buffers):
            if life.first <= step <= life.last:
                assert offsets[i] % ALIGNMENT == 0
                assert offsets[i] + life.nbytes <= total
                there = owner[offsets[i] : offsets[i] + life.nbytes]
                assert (there == -1).all()
                there[:] = i


@given(lives)
def test_a_plan_lies_between_what_lives_at_once_and_all(buffers: list[Life]) -> None:
    _, total = plan_memory(buffers)
    at_once = [sum(x.nbytes for x in buffers if x.first <= step <= x.last) for step in range(STEPS)]
    assert max(at_once) <= total <= sum(rounded(x.nbytes) for x in buffers)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=10), st.integers(1, 9))
def test_the_best_gap_is_the_smallest_that_fits(blocks: list[tuple[int, int]], size: int) -> None:
    taken = sorted((begin, begin + wide) for begin, wide in blocks)
    end = max((after for _, after in taken), default=0)
    free = [all(not (b <= byte < a) for b, a in taken) for byte in range(end)]
    runs = []
    for at in range(end):
        if free[at] and (at == 0 or not free[at - 1]):
            stop = next((i for i in range(at, end) if not free[i]), end)
            runs.append((stop - at, at))
    fitting = [run for run in runs if run[0] >= size]
    assert best_gap(taken, size) == (min(fitting)[1] if fitting else end)


def test_a_chain_needs_two_buffers_at_a_time() -> None:
    chain = [Life(64, at, at + 1) for at in range(50)]
    assert plan_memory(chain)[1] == 128


@pytest.mark.parametrize(
    ("offsets", "total", "words"),
    [
        ([0, 0, 128], 256, "at step 1 buffers 0 and 1 share bytes: 100 at 0, and 64 at 0"),
        ([0, 64, 128], 256, "at step 1 buffers 0 and 1 share bytes"),
        ([0, 128, 64], 256, "at step 2 buffers 1 and 2 share bytes: 64 at 128, and 100 at 64"),
        ([0, 128, -64], 256, "buffer 2 of 100 bytes lies at -64 in an arena of 256 bytes"),
        ([0, 130, 256], 512, "buffer 1 of 64 bytes lies at 130"),
        ([0, 128, 192], 256, "buffer 2 of 100 bytes lies at 192 in an arena of 256 bytes"),
        ([0, 128], 256, "2 offsets for 3 buffers"),
    ],
)
def test_a_wrong_plan_is_refused(
    offsets: list[int], total: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffers = [Life(100, 0, 1), Life(64, 1, 2), Life(100, 2, 3)]
    monkeypatch.setattr(memory, "place_buffers", lambda _: (offsets, total))
    with pytest.raises(ProgramError, match=words):
        plan_memory(buffers)


@given(lives)
def test_only_a_plan_that_shares_bytes_is_refused(buffers: list[Life]) -> None:
    offsets, total = place_buffers(buffers)
    moved = [offset + total for offset in offsets]
    assert memory._mistake(buffers, moved, 2 * total) == ""
    assert memory._mistake(buffers, [0] * len(buffers), total) == "" or any(
        a.nbytes and b.nbytes and memory.overlap(a, b) for i, a in enumerate(buffers) for b in buffers[:i]
    )


def test_no_buffers() -> None:
    assert plan_memory([]) == ([], 0)
