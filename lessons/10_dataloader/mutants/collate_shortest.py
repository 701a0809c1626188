"""collate cuts samples to the fields that all of them have."""


def collate(samples):
    if not samples:
        raise DataError("no samples")
    rows = [sample if isinstance(sample, tuple) else (sample,) for sample in samples]
    return tuple(_stack(i, field) for i, field in enumerate(zip(*rows)))
