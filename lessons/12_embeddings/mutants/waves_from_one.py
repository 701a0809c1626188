"""sinusoidal counts positions from 1."""

from tinytorch.errors import ShapeError


def sinusoidal(length, dim):
    if length < 0 or dim < 0 or dim % 2:
        raise ShapeError(f"sinusoidal: ({length}, {dim})")
    angles = np.arange(1, length + 1)[:, None] * 10_000.0 ** (-np.arange(0, dim, 2) / max(dim, 1))
    waves = np.empty((length, dim), np.float32)
    waves[:, 0::2], waves[:, 1::2] = np.sin(angles), np.cos(angles)
    return Tensor(waves)
