"""How far a metric would stray on other images: the bootstrap over the images of the test set.

All runs are evaluated on the same resamples, so that a difference of two runs is one of pairs: what
makes an image hard for both does not blur it.

Images that are there twice raise AP, and classes without objects drop out of its mean. So the
resamples lie above the value, where classes are rare by more than they scatter, and their
percentiles (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, sec. 13.3) would leave
it out. What they tell is how far AP scatters: their deviations from their mean are put around it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from imbdet.compare.accumulation import average_precisions
from imbdet.engine.progress import with_progress_lines
from imbdet.evaluation.matches import ClassMatches

CONFIDENCE = 0.95
# Fewer images say too little of others: one that a run gains in would be a gain for certain.
MIN_IMAGES = 3


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval, which are NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Of a difference, the more the better: "better", "worse" or "undecided"; "" for NaN."""
        if np.isnan(self.value):
            return ""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "undecided"


def resample(num_images: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each resample has each image, drawn with replacement.

    Returns:
        (1 + B, I) int32; the first row is the data set as it is.
    """
    shares = np.full(num_images, 1 / num_images)
    drawn = np.random.default_rng(seed).multinomial(num_images, shares, size=num_resamples)
    return np.concatenate([np.ones((1, num_images)), drawn], dtype=np.int32, casting="unsafe")


def resampled_ap(
    by_class: Mapping[str, ClassMatches], weights: np.ndarray, title: str = ""
) -> np.ndarray:
    """AP in percent of the data set and its resamples; NaN where a class has no objects.

    Args:
        by_class: the K classes' matches.
        weights: (1 + B, I), see :func:`resample`.
        title: of the work, where it is told how far it is.

    Returns:
        (1 + B, K, A, T).
    """
    classes = with_progress_lines(list(by_class.values()), title)
    return 100 * np.stack([average_precisions(found, weights) for found in classes], axis=1)


def estimate(values: np.ndarray, num_images: int) -> Estimate:
    """The value (1 + B,) of the data set; around it, how the resamples lie around their mean.

    Args:
        values: perhaps NaN.
        num_images: with objects that the value is about; less than MIN_IMAGES give no interval.
    """
    resamples = values[1:][np.isfinite(values[1:])]
    if num_images < MIN_IMAGES or not len(resamples) or np.isnan(values[0]):
        return Estimate(float(values[0]), np.nan, np.nan)
    tail = (1 - CONFIDENCE) / 2
    low, high = values[0] + np.quantile(resamples - resamples.mean(), [tail, 1 - tail])
    return Estimate(float(values[0]), float(low), float(high))


def nan_mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """The mean of what is not NaN; NaN, without a warning, of nothing."""
    is_known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(is_known, values, 0).sum(axis=axis) / is_known.sum(axis=axis)
