"""Several trained runs beside each other: what differs, and whether it is more than chance."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.compare.run_comparison import compare_runs

__all__ = ["compare_runs"]
