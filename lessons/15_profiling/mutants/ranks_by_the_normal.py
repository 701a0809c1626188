"""order_ranks takes the binomial distribution for a normal one, which fails in the tails."""


def order_ranks(size, q, confidence=0.95):
    from scipy.stats import norm

    half = norm.ppf((1 + confidence) / 2) * math.sqrt(size * q * (1 - q))
    return max(0, math.floor(size * q - half)), min(size + 1, math.ceil(size * q + half) + 1)
