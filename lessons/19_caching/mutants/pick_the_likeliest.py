"""pick takes the likeliest token."""


def pick(p, u):
    return int(np.argmax(p))
