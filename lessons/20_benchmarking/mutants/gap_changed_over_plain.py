"""transform_gap divides the changed by the plain."""


def transform_gap(event, entry, baseline):
    own = accuracy_ratio(event, *entry[::-1])
    usual = accuracy_ratio(event, *baseline)
    error = float(np.hypot(own.error, usual.error))
    return Ratio(own.log - usual.log, error, min(own.freedom, usual.freedom))
