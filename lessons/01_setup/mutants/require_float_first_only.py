"""require_float looks at the first spec only."""


def require_float(op, *specs):
    if specs[0].dtype.kind != "f":
        raise DTypeError(f"{op}: takes floating dtypes, not {specs[0].dtype}")
