"""Passes: each takes a graph and gives one that computes the same with less work."""

from tinytorch.acceleration.passes.pipeline import optimise

__all__ = ["optimise"]
