"""measure_call collects no garbage."""


def measure_call(call, table, at=0):
    table[at] = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    result = call()
    table[at + 2], table[at + 1] = tracemalloc.get_traced_memory()
    del result
    table[at + 3] = tracemalloc.get_traced_memory()[0]
