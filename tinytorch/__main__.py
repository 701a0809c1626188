"""`python -m tinytorch` is `tito`."""

from tinytorch.cli import main

main()
