"""The first lines that run in the box: where packages are to be found, and then `worker`."""

from __future__ import annotations

import json
import sys


def start() -> None:
    """Take the folders of packages and the number of the line from the arguments."""
    folders, line = sys.argv[1:]
    sys.path[:] = json.loads(folders)
    from tinytorch.benchmarking.worker import main

    main(int(line))


if __name__ == "__main__":
    start()
