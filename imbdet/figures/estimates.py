"""A value and how far it would stray on other images, as resamples of the images tell it.

Images that are there twice raise AP, and classes without objects drop out of its mean. So the
resamples lie above the value, where classes are rare by more than they scatter, and their
percentiles (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, sec. 13.3) would leave
it out. What they tell is how far AP scatters: their deviations from their mean are put around it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

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


def estimate(values: np.ndarray, num_images: int) -> Estimate:
    """The value (1 + B,) of the data set; around it, how the resamples lie around their mean.

    Args:
        values: possibly NaN.
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


def draw_estimates(
    axes: Axes,
    places: np.ndarray,
    estimates: Sequence[Estimate],
    style: Mapping[str, Any],
    *,
    is_difference: bool = False,
) -> PathCollection:
    """Points with their intervals as vertical lines; an undecided difference is hollow.

    Returns:
        The points.
    """
    values, lows, highs = np.array([(e.value, e.low, e.high) for e in estimates]).T
    axes.vlines(places, lows, highs, color=style["color"], linewidth=1.2)
    faces = [
        "white" if is_difference and estimate.verdict == "undecided" else style["color"]
        for estimate in estimates
    ]
    return axes.scatter(
        places,
        values,
        s=18,
        c=faces,
        edgecolors=style["color"],
        marker=style["marker"],
        zorder=3,
        clip_on=False,  # whole, even at the end of an axis
    )
