"""Iterations whose losses or gradients are not finite: noticed, kept, stopped or skipped, repeated.

:mod:`imbdet.learning.finite` finds the samples to blame.
"""
