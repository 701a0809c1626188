"""global_masks gives each layer a threshold of its own."""


def global_masks(scores, sparsity):
    return {name: mask_of(array, count_of_zeros(array.size, sparsity)) for name, array in scores.items()}
