"""Memory: what a call needs at its peak, what stays, and where it was allocated."""
