"""Time: one call measured, and several compared."""
