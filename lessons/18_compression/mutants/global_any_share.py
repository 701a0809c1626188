"""global_masks takes any share, 0 and 1 among them."""


def global_masks(scores, sparsity):
    flat = np.concatenate([array.ravel() for array in scores.values()])
    mask, found = mask_of(flat, min(max(round(flat.size * sparsity), 0), flat.size)), {}
    for name, array in scores.items():
        found[name], mask = mask[: array.size].reshape(array.shape), mask[array.size :]
    return found
