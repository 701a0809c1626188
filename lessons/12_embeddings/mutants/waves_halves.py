"""sinusoidal puts all sines before all cosines."""

from tinytorch.errors import ShapeError


def sinusoidal(length, dim):
    if length < 0 or dim < 0 or dim % 2:
        raise ShapeError(f"sinusoidal: ({length}, {dim})")
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, dim, 2) / max(dim, 1))
    return Tensor(np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32))
