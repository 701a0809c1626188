"""What all tests share: no deadlines for Hypothesis (machines differ) and no windows for pictures."""

import os

from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("tinytorch", deadline=None)
settings.load_profile("tinytorch")
