"""What a frozen detector makes of its candidates: tables, figures and pictures of samples."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.analysis.run_analysis import analyze

__all__ = ["analyze"]
