"""counted_labels names the first label that does not fit, not the worst."""


def counted_labels(labels, classes, ignore_index):
    counted = labels != ignore_index
    for label in labels[counted]:
        if not 0 <= label < classes:
            raise DataError(f"label {label} is out of range for {classes} classes")
    return counted
