"""A value with an interval for other images, estimated by the jackknife.

The interval is the value +- t standard errors (Tukey, "Bias and Confidence in Not-quite Large
Samples", Annals of Mathematical Statistics 29, 1958). :mod:`imbdet.compare.jackknife` computes the
values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from scipy.special import stdtrit

CONFIDENCE = 0.95
# Fewer images say too little about others: a gain in a single image would count as certain.
MIN_IMAGES = 3


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval, which are NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """For a difference where more is better: "better", "worse" or "undecided"; "" for NaN."""
        if np.isnan(self.value):
            return ""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "undecided"


def estimate(values: np.ndarray, num_images: int) -> Estimate:
    """The value of the data set and its interval, from the values without each of G groups.

    Args:
        values: (1 + G,) values, that of the data set first; NaN where it is not defined.
        num_images: number of images with objects that the value is about; fewer than MIN_IMAGES
            give no interval.
    """
    value, replicates = float(values[0]), values[1:]
    num_units = min(num_images, len(replicates))
    if num_units < MIN_IMAGES:
        return Estimate(value, np.nan, np.nan)
    reach = t_reach(float(jackknife_variance(replicates)), num_units - 1)
    return Estimate(value, value - reach, value + reach)


def t_reach(variance: float, freedom: float, confidence: float = CONFIDENCE) -> float:
    """Half the width of Student's interval around a value.

    Args:
        variance: estimate of the variance of the value.
        freedom: degrees of freedom of that estimate.
        confidence: probability that the interval contains the true value, in (0, 1).
    """
    return float(stdtrit(freedom, (1 + confidence) / 2)) * variance**0.5


def nan_mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """The mean of the values that are not NaN; NaN, without a warning, of none."""
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
    """Draw points with their intervals as vertical lines; an undecided difference is hollow.

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


def jackknife_variance(replicates: np.ndarray) -> np.ndarray:
    """The variance of values over other images (Judkins 1990, :mod:`imbdet.compare.jackknife`).

    A group that is left out whole moves a mean by G / (G - 1) of its part, for which a factor of
    (G - 1) / G makes up. Changes of half a group, doubled, need none.

    Args:
        replicates: (..., G) the values without each of G groups of images, as
            :func:`imbdet.compare.jackknife.replicated_ap` has them.

    Returns:
        (...,) variances.
    """
    variance: np.ndarray = replicates.shape[-1] * replicates.var(axis=-1)
    return variance
