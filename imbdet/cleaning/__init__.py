"""Suspects by the ledger of a training, and a copy of its annotations without them."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.cleaning.clean_run import clean_run

__all__ = ["clean_run"]
