"""prefetched ends quietly where taking an item failed."""


def prefetched(items, depth):
    ready, stop = queue.Queue(maxsize=depth), threading.Event()
    thread = threading.Thread(target=fill, args=(ready, items, stop), daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), End):
            yield item
    finally:
        stop.set()
        while not ready.empty():
            ready.get_nowait()
        thread.join()
