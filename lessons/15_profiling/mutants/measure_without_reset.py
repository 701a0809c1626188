"""measure_call does not let the peak start over: one from before counts."""


def measure_call(call, table, at=0):
    settle()
    table[at] = tracemalloc.get_traced_memory()[0]
    result = call()
    table[at + 2], table[at + 1] = tracemalloc.get_traced_memory()
    del result
    settle()
    table[at + 3] = tracemalloc.get_traced_memory()[0]
