"""Detects, saves, skips and repeats iterations whose losses or gradients are not finite.

:mod:`imbdet.learning.finite` finds the samples that cause them.
"""
