"""fan_in_uniform draws from a normal distribution."""


def fan_in_uniform(shape, fan_in, generator=None):
    return Parameter((generator or default_generator).randn(*shape) * (max(fan_in, 1) ** -0.5))
