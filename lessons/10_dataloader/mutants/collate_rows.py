"""collate makes an array of each sample instead of each field."""


def collate(samples):
    if not samples:
        raise DataError("no samples")
    rows = [sample if isinstance(sample, tuple) else (sample,) for sample in samples]
    if len({len(row) for row in rows}) > 1:
        raise DataError("fields")
    return tuple(_stack(i, row) for i, row in enumerate(rows))
