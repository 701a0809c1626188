"""clip_grad_norm returns the norm after the clipping."""


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
        factor = min(1.0, max_norm / (total + 1e-6))
        if factor < 1:
            for g in gradients:
                g.assign_(g * factor)
    return float(GlobalNorm()(*gradients))
