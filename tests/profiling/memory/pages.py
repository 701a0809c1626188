"""Fresh pages from the system, so that the resident size grows by a known figure."""

import mmap


def touch(size: int) -> None:
    """Take `size` bytes of fresh pages, write to each page, and give them back.

    malloc would not do: in a process that has freed blocks of this size it hands out pages that are resident
    already, and the resident size does not move.
    """
    with mmap.mmap(-1, size) as pages:
        for at in range(0, size, mmap.PAGESIZE):
            pages[at] = 1
