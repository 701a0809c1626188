"""binary_cross_entropy_with_logits takes e ** -x of any x."""


def binary_cross_entropy_with_logits(input, target, pos_weight=None, reduction="mean"):
    name = "binary_cross_entropy_with_logits"
    _check(name, input, target, reduction)
    softplus = ((-input).exp() + 1.0).log()
    weight = 1.0 if pos_weight is None else pos_weight
    loss = target * softplus * weight + (1.0 - target) * (softplus + input)
    return reduced(name, loss, reduction)
