"""prefetched leaves the thread waiting when the consumer stops early."""


def prefetched(items, depth):
    ready, stop = queue.Queue(maxsize=depth), threading.Event()
    thread = threading.Thread(target=fill, args=(ready, items, stop), daemon=True)
    thread.start()
    while not isinstance(item := ready.get(), End):
        yield item
    if item.error is not None:
        raise item.error
    thread.join()
