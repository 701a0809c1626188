"""measure_call still holds the result at the last reading: every call seems to leak."""


def measure_call(call, table, at=0):
    settle()
    table[at] = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    result = call()
    table[at + 2], table[at + 1] = tracemalloc.get_traced_memory()
    settle()
    table[at + 3] = tracemalloc.get_traced_memory()[0]
    del result
