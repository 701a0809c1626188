"""clip_grad_norm squares in the dtype of the gradients, where 3e30 squared is infinite."""


def clip_grad_norm(parameters, max_norm):
    if not max_norm > 0:
        raise ValueError("max_norm")
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(float((g.data**2).sum()) for g in gradients))
    if not math.isfinite(norm):
        raise GradientError("not finite")
    factor = max_norm / (norm + 1e-6)
    if factor < 1:
        with no_grad():
            for g in gradients:
                g.assign_(g * factor)
    return norm
