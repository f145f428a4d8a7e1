"""The images of an epoch in their order, which is a function of a seed and the epoch's number.

Shape shorthand: N images of the data set, M of an epoch.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from imbdet.data.seeding import EPOCH, SUBSET, seed_sequence


class Epochs(Protocol):
    """The epochs of a training."""

    def __call__(self, seed: int, number: int) -> np.ndarray:
        """(M,) indices in [0, N) of an epoch, the same in all processes.

        Args:
            seed: seed of the training, at least 0.
            number: number of the epoch, from 0.
        """
        ...


class RepeatedImages:
    """Epochs that repeat each image, shuffled; of all images, or of a part of the data set."""

    def __init__(self, repeats: np.ndarray, subset_size: int | None = None) -> None:
        """Store how often images are repeated.

        Args:
            repeats: (N,) float >= 0, mean number of times that an epoch shows each image.
            subset_size: number of images in [1, N], drawn at random, that are shown at all; None is
                all.
        """
        self._repeats = repeats
        self._subset_size = len(repeats) if subset_size is None else subset_size

    def __call__(self, seed: int, number: int) -> np.ndarray:
        """See :class:`Epochs`; the fraction of a repeat is the probability of one more."""
        order = np.random.default_rng(seed_sequence(seed, SUBSET)).permutation(len(self._repeats))
        images = np.sort(order[: self._subset_size])
        repeats = self._repeats[images]
        whole = np.floor(repeats).astype(np.int64)
        generator = np.random.default_rng(seed_sequence(seed, EPOCH, number))
        is_once_more = generator.random(len(images)) < repeats - whole
        return generator.permutation(np.repeat(images, whole + is_once_more))


class ClassAwareImages:
    """Epochs with all classes equally often: N times, a class and one of its images are drawn.

    Classes are drawn without replacement, then shuffled again; so are the images of each class.

    Shen et al., "Relay Backpropagation for Effective Learning of Deep Convolutional Neural
    Networks", ECCV 2016, https://arxiv.org/abs/1512.05830
    """

    def __init__(self, images_of_classes: Sequence[np.ndarray], num_images: int) -> None:
        """Store the images of each class.

        Args:
            images_of_classes: indices of the images of each class, except classes without images.
            num_images: number of images, N.
        """
        self._images_of_classes = images_of_classes
        self._num_images = num_images

    def __call__(self, seed: int, number: int) -> np.ndarray:
        """See :class:`Epochs`."""
        generator = np.random.default_rng(seed_sequence(seed, EPOCH, number))
        classes = _turns(generator, np.arange(len(self._images_of_classes)), self._num_images)
        epoch = np.empty(self._num_images, dtype=np.int64)
        for number_of_class, images in enumerate(self._images_of_classes):
            is_own = classes == number_of_class
            epoch[is_own] = _turns(generator, images, int(is_own.sum()))
        return epoch


def _turns(generator: np.random.Generator, values: np.ndarray, number: int) -> np.ndarray:
    """(number,) values: shuffled permutations of all values, one after the other."""
    rounds = [generator.permutation(values) for _ in range(-(-number // len(values)))]
    return np.concatenate([*rounds, values[:0]])[:number]
