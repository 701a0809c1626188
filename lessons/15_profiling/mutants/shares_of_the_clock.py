"""shares_of divides by the length of the pass, with the time that watching took."""


def shares_of(one, inside):
    times, _ = one.self_times()
    whole = (one.end - one.start) * 1e-9
    below = tuple(f"{path}." for path in inside)
    core = sum(seconds for key, seconds in times.items() if key.op == OP)
    module = sum(s for key, s in times.items() if key.path in inside or key.path.startswith(below))
    return core / whole, module / whole
