"""require_float lets floating dtypes that differ pass."""


def require_float(op, *specs):
    for spec in specs:
        if spec.dtype.kind != "f":
            raise DTypeError(f"{op}: takes floating dtypes, not {spec.dtype}")
