"""The bottleneck: what takes the time, what it could return, and how it grows."""
