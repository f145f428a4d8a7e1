"""Sample imbalance in object detection: losses, samplers and prime sample attention."""

__version__ = "0.1.0"
