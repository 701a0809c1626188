"""transform_gap says by how much less the entry loses."""


def transform_gap(event, entry, baseline):
    own = accuracy_ratio(event, *entry)
    usual = accuracy_ratio(event, *baseline)
    error = float(np.hypot(own.error, usual.error))
    return Ratio(usual.log - own.log, error, min(own.freedom, usual.freedom))
