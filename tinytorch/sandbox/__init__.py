"""A box around a process: limits, no network, no writing outside, nothing left behind."""
