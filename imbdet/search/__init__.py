"""Which of several methods helps on some data: decided by trainings, not guessed."""

from imbdet import compat  # noqa: F401  (before detectron2)
