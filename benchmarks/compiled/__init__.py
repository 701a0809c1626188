"""Compiled models and training steps beside their peers: `python -m benchmarks.compiled`."""
