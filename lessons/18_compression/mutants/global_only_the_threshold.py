"""global_masks compares with the common threshold, and takes all that equal it."""


def global_masks(scores, sparsity):
    flat = np.concatenate([array.ravel() for array in scores.values()])
    threshold = threshold_of(flat, count_of_zeros(flat.size, sparsity))
    return {name: array > threshold for name, array in scores.items()}
