"""fan_in_uniform uses 1 / fan_in."""


def fan_in_uniform(shape, fan_in, generator=None):
    bound = 1.0 / max(fan_in, 1)
    return Parameter((generator or default_generator).uniform(-bound, bound, shape))
