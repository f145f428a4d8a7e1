"""Surveys of the data of a config, and perhaps of a run, for ``imbdet.advice``."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.surveying.checkpoint import look_at_checkpoint
from imbdet.surveying.data import find_final, kind_of, survey_config, usable_choices
from imbdet.surveying.run import config_of_run, find_checkpoint

__all__ = [
    "config_of_run",
    "find_checkpoint",
    "find_final",
    "kind_of",
    "look_at_checkpoint",
    "survey_config",
    "usable_choices",
]
