"""Comparison of several trained runs: their differences, and whether these exceed chance."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.compare.run_comparison import compare_runs

__all__ = ["compare_runs"]
