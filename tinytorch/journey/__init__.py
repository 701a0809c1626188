"""The journey: train models on real data, see where their time goes, and make them faster and smaller."""

from tinytorch.journey.run import STAGES, take_journey
from tinytorch.journey.stage import FULL, QUICK, Journey, Scale, Stage

__all__ = ["FULL", "QUICK", "STAGES", "Journey", "Scale", "Stage", "take_journey"]
