"""Acceleration: backends, the ladder of kernels, and the compiler."""
