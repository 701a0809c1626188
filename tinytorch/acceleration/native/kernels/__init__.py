"""Kernels: each computes one or more calls of a graph, and says in Python what it does."""
