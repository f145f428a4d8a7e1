"""Resamples of the test set's images, the bootstrap, and the AP of each.

All runs are evaluated on the same resamples, so that a difference of two runs is one of pairs: what
makes an image hard for both does not blur it. :mod:`imbdet.figures.estimates` makes intervals of
the values.
"""

from collections.abc import Mapping

import numpy as np

from imbdet.compare.accumulation import average_precisions
from imbdet.engine.progress import with_progress_lines
from imbdet.evaluation.matches import ClassMatches


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
