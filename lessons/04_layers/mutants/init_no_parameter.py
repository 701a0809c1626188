"""fan_in_uniform gives a tensor that asks for no gradient."""


def fan_in_uniform(shape, fan_in, generator=None):
    bound = 1.0 / math.sqrt(max(fan_in, 1))
    return (generator or default_generator).uniform(-bound, bound, shape)
