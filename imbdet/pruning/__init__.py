"""The part of the training data that matters, by the ledger of a training."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.pruning.run_pruning import prune

__all__ = ["prune"]
