"""Drawings of the comparisons, one file each."""
