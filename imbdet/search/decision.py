"""Whether one method is better than another, over the chance of test images and of seeds.

Methods are trained with the same seeds and tested on the same images, so that differences are
paired. Their mean over S seeds has two sources of variance:

- The test images. The jackknife of :mod:`imbdet.compare.jackknife`, of the mean over the seeds,
  estimates the variance over other images, with G - 1 degrees of freedom for G groups.
- The seeds. A few say little about their own variance, so that it is pooled over all methods: the
  AP of a training is modelled as the sum of what its method, its seed and chance contribute (a
  two-way analysis of variance; Fisher, "Statistical Methods for Research Workers", 1925), where
  chance has (K - 1) (S - 1) degrees of freedom for K methods. Where a pair varies more than that,
  its own differences count.

The two are independent, and the half-width of the interval is the root of the sum of the squares of
those of their t intervals (Howe, "Approximate Confidence Limits on the Mean of X + Y Where X and Y
Are Two Tabled Independent Random Variables", Journal of the American Statistical Association 69,
1974). The effect of a seed on single images is in both, so that the interval is rather too wide
(Owen, "The Pigeonhole Bootstrap", Annals of Applied Statistics 1, 2007).

Shape shorthand: S seeds, G groups of images.
"""

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from imbdet.figures.estimates import (
    CONFIDENCE,
    MIN_IMAGES,
    Estimate,
    jackknife_variance,
    t_reach,
)


class SeedNoise(NamedTuple):
    """The variance that chance adds to the AP of one training, and its degrees of freedom."""

    variance: float
    freedom: int


def pooled_noise(values: np.ndarray) -> SeedNoise:
    """The variance of AP that methods and seeds do not explain.

    Args:
        values: (K, S) AP in percent of two methods or more by two seeds or more.
    """
    of_methods = values.mean(axis=1, keepdims=True)
    of_seeds = values.mean(axis=0, keepdims=True)
    left = values - of_methods - of_seeds + values.mean()
    freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
    return SeedNoise(float((left**2).sum() / freedom), freedom)


def paired_difference(
    first: np.ndarray, second: np.ndarray, noise: SeedNoise, num_images: int, confidence: float
) -> Estimate:
    """The difference of the first method minus the second, with its interval.

    Args:
        first: (S, 1 + G) AP in percent of its trainings: of all images, then without each group.
        second: (S, 1 + G) AP in percent of the same seeds and groups.
        noise: noise of both, see :func:`pooled_noise`.
        num_images: number of images that have objects; fewer than MIN_IMAGES give no interval.
        confidence: confidence level of the interval, in (0, 1).
    """
    differences = first - second
    value = float(differences[:, 0].mean())
    if num_images < MIN_IMAGES:
        return Estimate(value, np.nan, np.nan)
    replicates = differences[:, 1:].mean(axis=0)
    of_images = float(jackknife_variance(replicates))
    of_a_pair = max(2 * noise.variance, float(differences[:, 0].var(ddof=1)))
    of_seeds = of_a_pair / len(differences)
    units = min(num_images, len(replicates))
    reach = math.hypot(
        t_reach(of_images, units - 1, confidence), t_reach(of_seeds, noise.freedom, confidence)
    )
    return Estimate(value, value - reach, value + reach)


def all_differences(
    values: Mapping[str, np.ndarray], num_images: int, num_looks: int
) -> dict[tuple[str, str], Estimate]:
    """The differences of all ordered pairs of methods, with simultaneous intervals.

    With :data:`CONFIDENCE` all intervals of all comparisons contain the true differences at once:
    each is as wide as Bonferroni's inequality requires.

    Args:
        values: (S, 1 + G) AP of each method, two or more; see :func:`paired_difference`.
        num_images: number of images that have objects.
        num_looks: number of times that methods are compared in all.
    """
    noise = pooled_noise(np.stack([runs[:, 0] for runs in values.values()]))
    pairs = list(itertools.combinations(values, 2))
    confidence = 1 - (1 - CONFIDENCE) / (len(pairs) * num_looks)
    found = {}
    for first, second in pairs:
        one = paired_difference(values[first], values[second], noise, num_images, confidence)
        found[first, second] = one
        found[second, first] = Estimate(-one.value, -one.high, -one.low)
    return found


def decided_worse(differences: Mapping[tuple[str, str], Estimate]) -> dict[str, str]:
    """The methods that are worse than another, each with the one that it is furthest behind."""
    behind: dict[str, str] = {}
    for (method, other), difference in differences.items():
        if difference.verdict != "worse":
            continue
        nearest = behind.get(method)
        if nearest is None or difference.value < differences[method, nearest].value:
            behind[method] = other
    return behind
