"""How a place of a detector learns from its samples; torch alone."""

from imbdet.learning.learner import Learner, Place, learners_of

__all__ = ["Learner", "Place", "learners_of"]
