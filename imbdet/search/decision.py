"""Whether one method is better than another, over the chance of test images and of seeds.

Methods are trained with the same seeds and tested on the same images, so that a difference is one
of pairs. Two kinds of chance blur its mean over S seeds:

- The test images. The jackknife of :mod:`imbdet.compare.jackknife`, of the mean over the seeds,
  tells how far it strays on others, with G - 1 degrees of freedom of G groups.
- The seeds. A few say little of their own variance, so that all methods tell it together: the AP of
  a training is taken to be the sum of what its method, its seed and chance contribute (an analysis
  of variance in two ways; Fisher, "Statistical Methods for Research Workers", 1925), where chance
  has (K - 1) (S - 1) degrees of freedom of K methods. Where a pair strays more than that, its own
  differences count.

The two are independent, and how far both together reach is the root of the sum of the squares of
their t intervals (Howe, "Approximate Confidence Limits on the Mean of X + Y Where X and Y Are Two
Tabled Independent Random Variables", Journal of the American Statistical Association 69, 1974).
What a seed does to single images is in both, so that this is rather too far (Owen, "The Pigeonhole
Bootstrap", Annals of Applied Statistics 1, 2007).

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
    """What is left of AP when methods and seeds are accounted for.

    Args:
        values: (K, S), two methods or more by two seeds or more.
    """
    of_methods = values.mean(axis=1, keepdims=True)
    of_seeds = values.mean(axis=0, keepdims=True)
    left = values - of_methods - of_seeds + values.mean()
    freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
    return SeedNoise(float((left**2).sum() / freedom), freedom)


def paired_difference(
    first: np.ndarray, second: np.ndarray, noise: SeedNoise, num_images: int, confidence: float
) -> Estimate:
    """By how much the first method is better, with its interval.

    Args:
        first: (S, 1 + G) AP in percent of its trainings: of all images, then without each group.
        second: of the same seeds and groups.
        noise: of both, see :func:`pooled_noise`.
        num_images: that have objects; fewer than MIN_IMAGES give no interval.
        confidence: that the interval contains what it should, in (0, 1).
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
    """The differences of all ordered pairs of methods, none of which claims too much.

    With :data:`CONFIDENCE` all intervals of all looks contain what they should at once: each is as
    wide as Bonferroni's inequality asks for.

    Args:
        values: (S, 1 + G) of each method, two or more; see :func:`paired_difference`.
        num_images: that have objects.
        num_looks: how often methods are compared in all.
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
