"""Analysis of the candidates of a frozen detector: tables, figures and pictures."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.analysis.run_analysis import analyze

__all__ = ["analyze"]
