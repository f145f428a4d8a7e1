"""Learners, which choose the samples of a place of a detector and compute their losses."""

from imbdet.learning.learner import Learner, Place, learners_of

__all__ = ["Learner", "Place", "learners_of"]
