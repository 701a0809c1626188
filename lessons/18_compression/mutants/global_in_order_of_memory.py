"""global_masks flattens in the order of memory, and shapes in that of rows."""


def global_masks(scores, sparsity):
    flat = np.concatenate([array.ravel(order="K") for array in scores.values()])
    mask, found = mask_of(flat, count_of_zeros(flat.size, sparsity)), {}
    for name, array in scores.items():
        found[name], mask = mask[: array.size].reshape(array.shape), mask[array.size :]
    return found
