"""Which rule's update would lower the validation loss, by the last layer alone: an experiment."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.forecast.run_forecast import forecast

__all__ = ["forecast"]
