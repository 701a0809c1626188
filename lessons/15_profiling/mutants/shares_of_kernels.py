"""shares_of takes the shares of kernel time: Python between them is nobody's."""


def shares_of(one, inside):
    _, times = one.self_times()
    whole = sum(times.values()) or 1.0
    below = tuple(f"{path}." for path in inside)
    core = sum(seconds for key, seconds in times.items() if key.op == OP)
    module = sum(s for key, s in times.items() if key.path in inside or key.path.startswith(below))
    return core / whole, module / whole
