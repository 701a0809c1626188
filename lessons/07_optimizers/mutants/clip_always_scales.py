"""clip_grad_norm makes small gradients larger as well."""


def clip_grad_norm(parameters, max_norm):
    if not max_norm > 0:
        raise ValueError(f"max_norm is {max_norm}")
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    with no_grad():
        total = float(GlobalNorm()(*gradients))
        if not math.isfinite(total):
            raise GradientError(f"the norm is {total}")
        for g in gradients:
            g.assign_(g * (max_norm / (total + 1e-6)))
    return total
