"""fan_in_uniform ignores the generator."""


def fan_in_uniform(shape, fan_in, generator=None):
    bound = 1.0 / math.sqrt(max(fan_in, 1))
    return Parameter(default_generator.uniform(-bound, bound, shape))
