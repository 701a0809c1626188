"""global_masks divides the scores of each layer by their mean, so that all lose alike."""


def global_masks(scores, sparsity):
    flat = np.concatenate([(array / array.mean()).ravel() for array in scores.values()])
    mask, found = mask_of(flat, count_of_zeros(flat.size, sparsity)), {}
    for name, array in scores.items():
        found[name], mask = mask[: array.size].reshape(array.shape), mask[array.size :]
    return found
