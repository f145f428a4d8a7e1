"""A forecast of which rule lowers the validation loss, by the last layer: an experiment."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.forecast.run_forecast import forecast

__all__ = ["forecast"]
