"""Sample imbalance in object detection: assigners, samplers, weightings and losses."""

__version__ = "0.1.0"
