"""The images of each batch, which are a function of a seed and the iteration alone.

Shape shorthand: N images, M of an epoch, B in a batch of a process, W processes.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from imbdet.data.epochs import Epochs


class Draw(NamedTuple):
    """One image of a batch. A pair (epoch, place) is drawn once in a training."""

    index: int  # place of the image in the data set
    epoch: int
    place: int  # place in the shuffled epoch


class BatchOrder:
    """The batches of one process from any iteration on.

    All processes share one endless sequence, one epoch after the other; this one takes the elements
    ``rank``, ``rank + W``, ``rank + 2 W``, ... as detectron2's samplers do. Wide and other images
    fill batches of their own, in the order in which batches become full, and the rest waits for the
    next epoch.

    To find an iteration, epochs are shuffled and grouped from the first one on, which takes
    hundredths of a second for 100,000 images. No image is read.
    """

    def __init__(
        self,
        epochs: Epochs,
        is_wide: np.ndarray,
        *,
        seed: int,
        batch_size: int,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        """Store the parameters of the order.

        Args:
            epochs: images of each epoch.
            is_wide: (N,) bool, whether images are wide. No batch mixes images of both kinds.
            seed: seed of the epochs, at least 0, the same in all processes.
            batch_size: number of images in a batch of this process, B.
            rank: rank of this process, from 0.
            num_processes: number of processes, W.
        """
        self._epochs = epochs
        self._is_wide = is_wide
        self._seed = seed
        self._batch_size = batch_size
        self._rank = rank
        self._num_processes = num_processes

    def epoch(self, number: int) -> np.ndarray:
        """(M,) indices of the images of an epoch, for all processes."""
        return self._epochs(self._seed, number)

    def batches(self, start: int = 0, first_epoch: int = 0) -> Iterator[list[Draw]]:
        """The endless batches of this process from iteration ``start`` on.

        Args:
            start: iteration, counted from the first batch of ``first_epoch``.
            first_epoch: number of the epoch with which the order begins.
        """
        waiting = np.empty((0, 3), dtype=np.int64)
        num_before = 0
        for epoch in itertools.count(first_epoch):
            indices = self.epoch(epoch)
            first = (self._rank - num_before) % self._num_processes
            places = np.arange(first, len(indices), self._num_processes)
            draws = np.stack([indices[places], np.full_like(places, epoch), places], axis=1)
            batches, waiting = self._fill_batches(np.concatenate([waiting, draws]))
            for batch in batches[start:]:
                yield [Draw(*draw) for draw in batch.tolist()]
            start = max(start - len(batches), 0)
            num_before += len(indices)

    def _fill_batches(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Full batches (..., B, 3) of draws (..., 3), and the draws that are left."""
        is_wide = self._is_wide[draws[:, 0]]
        full, left = [], []
        for rows in (np.flatnonzero(is_wide), np.flatnonzero(~is_wide)):
            full_rows, left_rows = np.split(rows, [len(rows) - len(rows) % self._batch_size])
            full.append(full_rows.reshape(-1, self._batch_size))
            left.append(left_rows)
        rows = np.concatenate(full)
        rows = rows[np.argsort(rows[:, -1])]  # by the last image of each
        return draws[rows], draws[np.sort(np.concatenate(left))]
