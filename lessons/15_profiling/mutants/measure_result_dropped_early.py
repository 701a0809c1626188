"""measure_call drops the result before it reads what is live at the end."""


def measure_call(call, table, at=0):
    settle()
    table[at] = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    call()
    table[at + 2], table[at + 1] = tracemalloc.get_traced_memory()
    settle()
    table[at + 3] = tracemalloc.get_traced_memory()[0]
