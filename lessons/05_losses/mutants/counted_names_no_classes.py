"""counted_labels names the label, but not what would be allowed."""


def counted_labels(labels, classes, ignore_index):
    counted = labels != ignore_index
    used = labels[counted]
    if used.size and (used.min() < 0 or used.max() >= classes):
        raise DataError(f"label {used.min() if used.min() < 0 else used.max()} is out of range")
    return counted
