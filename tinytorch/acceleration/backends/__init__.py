"""Backends: kernels for ops, registered by the module that is named like the backend, when it is imported."""
