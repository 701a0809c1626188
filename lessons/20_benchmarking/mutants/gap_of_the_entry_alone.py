"""transform_gap does not look at what the baseline loses."""


def transform_gap(event, entry, baseline):
    own = accuracy_ratio(event, *entry)
    usual = accuracy_ratio(event, *baseline)
    error = float(np.hypot(own.error, usual.error))
    return Ratio(own.log, error, min(own.freedom, usual.freedom))
