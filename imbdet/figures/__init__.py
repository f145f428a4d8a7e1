"""One file per figure: its numbers, what they say, how to read them, and the drawing."""

from imbdet import compat  # noqa: F401  (before detectron2)
