"""shares_of takes every path that begins like attention's, attn2 too."""


def shares_of(one, inside):
    times, _ = one.self_times()
    whole = sum(times.values())
    core = sum(seconds for key, seconds in times.items() if key.op == OP)
    module = sum(seconds for key, seconds in times.items() if key.path.startswith(tuple(inside)))
    return core / whole, module / whole
