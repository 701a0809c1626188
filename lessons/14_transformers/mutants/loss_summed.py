"""next_token_loss sums over positions: longer sequences cost more."""


def next_token_loss(logits, targets):
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="sum")
