"""prefetched takes an item that is None for the end."""


def prefetched(items, depth):
    ready, stop = queue.Queue(maxsize=depth), threading.Event()
    thread = threading.Thread(target=fill, args=(ready, items, stop), daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None and not isinstance(item, End):
            yield item
        if isinstance(item, End) and item.error is not None:
            raise item.error
    finally:
        stop.set()
        while not ready.empty():
            ready.get_nowait()
        thread.join()
