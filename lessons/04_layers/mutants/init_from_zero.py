"""fan_in_uniform draws from 0 to b."""


def fan_in_uniform(shape, fan_in, generator=None):
    bound = 1.0 / math.sqrt(max(fan_in, 1))
    return Parameter((generator or default_generator).uniform(0.0, bound, shape))
