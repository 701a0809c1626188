"""counted_labels ignores a label only if it is no class."""


def counted_labels(labels, classes, ignore_index):
    counted = (labels != ignore_index) | (0 <= ignore_index < classes)
    wrong = labels[counted & ((labels < 0) | (labels >= classes))]
    if wrong.size:
        worst = wrong.min() if wrong.min() < 0 else wrong.max()
        raise DataError(f"cross_entropy: label {worst} is out of range for {classes} classes")
    return counted
