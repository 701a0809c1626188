"""global_masks goes through the layers in the order of their names."""


def global_masks(scores, sparsity):
    scores = dict(sorted(scores.items()))
    flat = np.concatenate([array.ravel() for array in scores.values()])
    mask, found = mask_of(flat, count_of_zeros(flat.size, sparsity)), {}
    for name, array in scores.items():
        found[name], mask = mask[: array.size].reshape(array.shape), mask[array.size :]
    return found
