"""Machines: this one's roofs and rates, and what a model would take and cost on others."""
