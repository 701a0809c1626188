"""global_masks cuts the number of zeros down where it should round."""


def global_masks(scores, sparsity):
    count_of_zeros(1, sparsity)
    flat = np.concatenate([array.ravel() for array in scores.values()])
    mask, found = mask_of(flat, int(flat.size * sparsity)), {}
    for name, array in scores.items():
        found[name], mask = mask[: array.size].reshape(array.shape), mask[array.size :]
    return found
