"""counted_labels lets labels out of range pass."""


def counted_labels(labels, classes, ignore_index):
    return labels != ignore_index
