"""global_masks adds up numbers of zeros that are rounded layer by layer."""


def global_masks(scores, sparsity):
    flat = np.concatenate([array.ravel() for array in scores.values()])
    zeros = sum(count_of_zeros(array.size, sparsity) for array in scores.values())
    mask, found = mask_of(flat, zeros), {}
    for name, array in scores.items():
        found[name], mask = mask[: array.size].reshape(array.shape), mask[array.size :]
    return found
