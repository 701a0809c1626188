"""merge_heads reshapes without bringing the heads of a position together."""


def merge_heads(x):
    batch, heads, t, head_dim = x.shape
    return x.reshape(batch, t, heads * head_dim)
