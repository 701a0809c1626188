"""next_token_loss shifts targets that are shifted already."""


def next_token_loss(logits, targets):
    if targets.shape[1] > 1:
        logits, targets = logits[:, :-1], targets[:, 1:]
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
