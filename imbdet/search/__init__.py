"""Search for the method that helps on some data, decided by trainings."""

from imbdet import compat  # noqa: F401  (before detectron2)
