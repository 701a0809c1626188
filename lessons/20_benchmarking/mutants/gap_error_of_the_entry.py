"""transform_gap forgets that the baseline has an error."""


def transform_gap(event, entry, baseline):
    own = accuracy_ratio(event, *entry)
    usual = accuracy_ratio(event, *baseline)
    error = own.error
    return Ratio(own.log - usual.log, error, min(own.freedom, usual.freedom))
