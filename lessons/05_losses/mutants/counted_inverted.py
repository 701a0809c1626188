"""counted_labels marks the rows that do not count."""


def counted_labels(labels, classes, ignore_index):
    counted = labels != ignore_index
    wrong = labels[counted & ((labels < 0) | (labels >= classes))]
    if wrong.size:
        worst = wrong.min() if wrong.min() < 0 else wrong.max()
        raise DataError(f"cross_entropy: label {worst} is out of range for {classes} classes")
    return ~counted
