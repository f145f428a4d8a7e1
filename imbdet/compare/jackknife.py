"""AP of the test set when a part of its images counts less: the jackknife.

The images are in random groups, and AP is computed without each of them (Kott, "The Delete-a-Group
Jackknife", Journal of Official Statistics 17, 2001). The spread of these values shows how far AP
varies on other images: :mod:`imbdet.figures.estimates` makes intervals of them. All runs have the
same groups, so that differences of two runs are paired: what makes an image hard for both cancels.

Classes with objects in few images need two more steps. Without its images a class has no AP, and
the mean is one of other classes; and deletions overstate the variance of a mean over m images by
m / (m - 1). So half of a group is left out and the change is doubled, as in surveys (Judkins,
"Fay's Method for Variance Estimation", Journal of Official Statistics 6, 1990): no class is lost,
and that variance is right to 1 / (2 m - 1)^2 of it. A class in a single group says nothing about
its own variance. Without the group its AP is set to the mean of the classes, as surveys centre a
stratum of one unit at the grand mean
(https://www.rdocumentation.org/packages/survey/versions/2.8-1, lonely.psu="adjust"), which errs on
the safe side: its distance from the mean stands for its spread.
"""

from collections.abc import Mapping

import numpy as np

from imbdet.compare.accumulation import average_precisions
from imbdet.engine.progress import with_progress_lines
from imbdet.evaluation.matches import ClassMatches
from imbdet.figures.estimates import nan_mean

# More groups would be smaller, and AP is smooth in large parts alone, as its precisions are maxima.
NUM_GROUPS = 100


def draw_groups(num_images: int) -> np.ndarray:
    """(I,) int64 random group of each image, of NUM_GROUPS of equal size; equal at every call.

    If there are fewer images, each is a group of its own.
    """
    places = np.random.default_rng(0).permutation(num_images)
    return places % min(num_images, NUM_GROUPS)


def replicated_ap(
    by_class: Mapping[str, ClassMatches], groups: np.ndarray, title: str = ""
) -> np.ndarray:
    """AP in percent of the data set, and as it would be without each of G groups of images.

    The latter are extrapolated linearly, and may leave [0, 100]. NaN where a class has no objects.

    Args:
        by_class: matches of the K classes.
        groups: (I,) int64 groups of the images, see :func:`draw_groups`.
        title: title of the lines about the progress.

    Returns:
        (1 + G, K, A, T) AP.
    """
    # Integers: all images count twice, those of the group once.
    is_in_group = groups == np.arange(groups.max() + 1)[:, None]
    weights = 2 - np.concatenate([np.zeros_like(is_in_group[:1]), is_in_group], dtype=np.int32)
    classes = with_progress_lines(list(by_class.values()), title)
    values = 100 * np.stack([average_precisions(found, weights) for found in classes], axis=1)
    values[1:] = values[0] + 2 * (values[1:] - values[0])
    mean = nan_mean(values[0], axis=0)  # (A, T)
    for k, found in enumerate(by_class.values()):
        for area, num_objects in enumerate(found.num_objects):
            own = np.unique(groups[num_objects > 0])
            if len(own) == 1:
                values[1 + own, k, area] = mean[area]
    return values
