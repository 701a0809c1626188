"""`tito`, the command line: one file a command, imported only when it is called."""

from tinytorch.cli.main import main

__all__ = ["main"]
