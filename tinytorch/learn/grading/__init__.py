"""Grades for many workspaces: each in a box, on a package without the reference."""
