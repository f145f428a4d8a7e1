"""Rare, common and frequent classes: LVIS's groups, by the number of training images with a class.

In most data sets, classes with many examples dominate a mean over all classes, and hide the results
of the others.
"""

from bisect import bisect_left
from collections.abc import Mapping

from imbdet.formats.lvis_json import FREQUENCIES


def group_by_images(images_of_class: Mapping[str, int], bounds: tuple[int, int]) -> dict[str, str]:
    """The group of each class: one of ``FREQUENCIES``.

    Args:
        images_of_class: number of training images with an object of each class, by name.
        bounds: highest numbers of images of a rare class and of a common one; LVIS's are 10 and
            100.
    """
    letters = list(FREQUENCIES)
    return {name: letters[bisect_left(bounds, number)] for name, number in images_of_class.items()}
