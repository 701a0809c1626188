"""What the checks of this lesson share: small data sets, and calls that must return in time."""

import sys
import threading

import numpy as np

from tinytorch.data.dataset import Dataset
from tinytorch.data.rng import generator

SECONDS = 5.0  # until a call counts as one that never returns


class Letters(Dataset):
    """Samples without a fast path: (number, a row of two floats); it counts how they are fetched."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        return index, np.array([index, -index], dtype=np.float32)


class Noted(Dataset):
    """The numbers 100, 101, ... in batches; it notes down what it was asked for."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(("sample", index))
        return 100 + index

    def batch(self, indices):
        self.asked.append(("batch", [int(i) for i in indices]))
        return (np.array([100 + i for i in indices], dtype=np.int64),)


def in_time(call):
    """What `call()` gives; TimeoutError where it does not return."""
    done = []

    def run():
        try:
            done.append((call(), None))
        except BaseException as error:
            done.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if not done:
        raise TimeoutError("it did not return: is something waiting for a thing that never comes?")
    result, error = done[0]
    if error is not None:
        raise error
    return result


def streams_drawn(call):
    """The keys (seed, purpose, major, minor) with which `call()` asks `generator` for a stream."""
    keys = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code is generator.__code__:
            keys.add(tuple(int(frame.f_locals[name]) for name in ("seed", "purpose", "major", "minor")))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return sorted(keys)


def pictures(rng, count=5, channels=2, height=4, width=6, dtype=np.float32):
    """Images without zeros, and a label for each."""
    return rng.uniform(0.5, 1.0, (count, channels, height, width)).astype(dtype), np.arange(count)


def shifts_of(image, padding):
    """All images that an image becomes by shifting it up to `padding` each way, by (down, across)."""
    height, width = image.shape[-2:]
    found = {}
    for down in range(-padding, padding + 1):
        for across in range(-padding, padding + 1):
            moved = np.zeros_like(image)
            for y in range(height):
                for x in range(width):
                    if 0 <= y - down < height and 0 <= x - across < width:
                        moved[:, y, x] = image[:, y - down, x - across]
            found[down, across] = moved
    return found


def which_shift(images, cropped, padding):
    """For each image the (down, across) by which it was shifted, or None where it is no shift of it."""
    result = []
    for image, found in zip(images, cropped, strict=True):
        known = shifts_of(image, padding).items()
        result.append(next((shift for shift, moved in known if np.array_equal(moved, found)), None))
    return result
