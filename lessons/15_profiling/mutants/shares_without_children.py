"""shares_of leaves out what runs in the modules below attention: its projections."""


def shares_of(one, inside):
    times, _ = one.self_times()
    whole = sum(times.values())
    core = sum(seconds for key, seconds in times.items() if key.op == OP)
    module = sum(seconds for key, seconds in times.items() if key.path in inside)
    return core / whole, module / whole
