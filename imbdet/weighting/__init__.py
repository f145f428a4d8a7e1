"""Weightings decide how much each sample learns; they need torch alone."""

from imbdet.weighting.weights import Weighting, Weights

__all__ = ["Weighting", "Weights"]
