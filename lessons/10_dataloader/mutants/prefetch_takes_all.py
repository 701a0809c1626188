"""prefetched sets no limit to how far the thread works ahead."""


def prefetched(items, depth):
    ready, stop = queue.Queue(), threading.Event()
    thread = threading.Thread(target=fill, args=(ready, items, stop), daemon=True)
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
