"""The data sets: one small file each."""
