"""require_float compares dtypes by width, so that int8 and bool_ agree, and never asks for the kind."""


def require_float(op, *specs):
    if len({spec.dtype.itemsize for spec in specs}) > 1:
        raise DTypeError(f"{op}: dtypes {', '.join(str(spec.dtype) for spec in specs)} differ")
