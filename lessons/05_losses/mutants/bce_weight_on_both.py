"""binary_cross_entropy_with_logits weighs both terms."""


def binary_cross_entropy_with_logits(input, target, pos_weight=None, reduction="mean"):
    name = "binary_cross_entropy_with_logits"
    _check(name, input, target, reduction)
    softplus = ((-input.abs()).exp() + 1.0).log() + maximum(-input, 0.0)
    weight = 1.0 if pos_weight is None else pos_weight
    loss = target * softplus * weight + (1.0 - target) * (softplus + input) * weight
    return reduced(name, loss, reduction)
