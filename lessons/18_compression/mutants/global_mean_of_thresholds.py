"""global_masks takes the mean of the layers' thresholds for a common one."""


def global_masks(scores, sparsity):
    found = [threshold_of(a, count_of_zeros(a.size, sparsity)) for a in scores.values()]
    return {name: array > np.mean(found) for name, array in scores.items()}
