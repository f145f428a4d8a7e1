"""Rare, common and frequent classes: LVIS's groups, by how many training images have a class.

Of a mean over all classes, those with many examples are the most in most data sets, and hide what
becomes of the others.
"""

from bisect import bisect_left
from collections.abc import Mapping

from imbdet.formats.lvis_json import FREQUENCIES


def group_by_images(images_of_class: Mapping[str, int], bounds: tuple[int, int]) -> dict[str, str]:
    """The group of each class: one of ``FREQUENCIES``.

    Args:
        images_of_class: by name, the number of training images that have an object of the class.
        bounds: the most images of a rare class, and of a common one; LVIS's are 10 and 100.
    """
    letters = list(FREQUENCIES)
    return {name: letters[bisect_left(bounds, number)] for name, number in images_of_class.items()}
