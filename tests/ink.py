"""Checks for drawings at the very edge of a figure, where they would be cut off."""

import numpy as np
from PIL import Image


def is_cut_off(path):
    """Whether any of a PNG's outermost pixels is not white."""
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"))
    return any((edge < 255).any() for edge in (grey[0], grey[-1], grey[:, 0], grey[:, -1]))
