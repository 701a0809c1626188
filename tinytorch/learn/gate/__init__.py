"""The gate for lessons: that their checks tell right answers from wrong ones."""
