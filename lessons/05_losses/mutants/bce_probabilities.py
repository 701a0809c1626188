"""binary_cross_entropy_with_logits takes its input for probabilities."""


def binary_cross_entropy_with_logits(input, target, pos_weight=None, reduction="mean"):
    name = "binary_cross_entropy_with_logits"
    _check(name, input, target, reduction)
    weight = 1.0 if pos_weight is None else pos_weight
    loss = -target * input.log() * weight - (1.0 - target) * (1.0 - input).log()
    return reduced(name, loss, reduction)
