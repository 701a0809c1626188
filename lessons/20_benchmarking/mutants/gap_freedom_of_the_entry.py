"""transform_gap has the degrees of freedom of the entry."""


def transform_gap(event, entry, baseline):
    own = accuracy_ratio(event, *entry)
    usual = accuracy_ratio(event, *baseline)
    error = float(np.hypot(own.error, usual.error))
    return Ratio(own.log - usual.log, error, own.freedom)
