"""prefetched starts a thread that keeps the interpreter from ending."""


def prefetched(items, depth):
    ready, stop = queue.Queue(maxsize=depth), threading.Event()
    thread = threading.Thread(target=fill, args=(ready, items, stop))
    thread.start()
    try:
        while not isinstance(item := ready.get(), End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        while not ready.empty():
            ready.get_nowait()
        thread.join()
