"""The images that a period of a training draws, by factors that become known meanwhile.

Shape shorthand: N images of the data set.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from imbdet.data.epochs import RepeatedImages
from imbdet.data.order import BatchOrder, Draw
from imbdet.errors import UserError

# Number of batches that each process of torch's DataLoader reads ahead, by default.
_BATCHES_AHEAD = 2


class ImagePeriods:
    """Periods of equally many iterations, each with an order of its own.

    Batches of a period depend on the seed, the number of the period and its factors alone, so that
    a training goes on without data of earlier periods. The rest of an epoch at the end of a period
    is not shown. Factors of a period must be known before the previous period begins, since images
    are read ahead.
    """

    def __init__(self, num_images: int, length: int, num_workers: int) -> None:
        """Start with equal factors in the first two periods.

        Args:
            num_images: number of images, N.
            length: length of a period in iterations.
            num_workers: number of processes that read images ahead.

        Raises:
            UserError: the processes read further ahead than a period.
        """
        ahead = num_workers * _BATCHES_AHEAD
        if length < ahead:
            raise UserError(
                f"A period of the ledger's feedback is {length} iterations, but with "
                f"DATALOADER.NUM_WORKERS {num_workers} images are read {ahead} iterations ahead: "
                f"set LEDGER.FEEDBACK.PERIOD to {ahead} or more, or lower NUM_WORKERS."
            )
        self._length = length
        self._factors = {number: np.ones(num_images, np.float32) for number in (0, 1)}

    def set_factors(self, number: int, factors: np.ndarray) -> None:
        """Set the factors of a period; only those of the period before it are kept beside them.

        Args:
            number: number of the period, from 0.
            factors: (N,) float32 >= 0, mean number of times that an epoch shows each image.
        """
        before = self._factors.get(number - 1)
        self._factors = {number: factors}
        if before is not None:
            self._factors[number - 1] = before

    def batches(
        self, build_order: Callable[..., BatchOrder], start: int = 0
    ) -> Iterator[list[Draw]]:
        """The endless batches from iteration ``start`` on.

        Args:
            build_order: function that makes the order of images from its argument ``epochs``.
            start: iteration, from 0.
        """
        now, start = divmod(start, self._length)
        for number in itertools.count(now):
            order = build_order(epochs=RepeatedImages(self._factors[number]))
            # Epochs of different periods have different numbers, which seed the augmentations.
            batches = order.batches(start, first_epoch=number << 32)
            yield from itertools.islice(batches, self._length - start)
            start = 0


def length_of_period(period: int, num_images: int, batch_size: int) -> int:
    """The iterations of a period: LEDGER.FEEDBACK.PERIOD, or as many as an epoch has.

    Args:
        period: value of the key; 0 is an epoch.
        num_images: number of images, N.
        batch_size: number of images in a batch of all processes together.
    """
    return period or -(-num_images // batch_size)
