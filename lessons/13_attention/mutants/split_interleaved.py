"""split_heads gives head h every num_heads-th feature."""


def split_heads(x, num_heads):
    batch, t, dim = x.shape
    return x.reshape(batch, t, dim // num_heads, num_heads).permute(0, 3, 1, 2)
