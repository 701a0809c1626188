"""split_heads reshapes straight to (batch, heads, t, head_dim): positions end up in other heads."""


def split_heads(x, num_heads):
    batch, t, dim = x.shape
    return x.reshape(batch, num_heads, t, dim // num_heads)
