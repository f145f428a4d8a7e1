"""The endless training loader: every batch is a function of the seed and the iteration.

With factors from a ledger a batch is also a function of the factors.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from detectron2.data import DatasetFromList
from detectron2.data.build import trivial_batch_collator
from torch.utils.data import DataLoader, Dataset

from imbdet.data.image_periods import ImagePeriods
from imbdet.data.order import BatchOrder, Draw
from imbdet.data.seeding import IMAGE, seed_sequence, seeded_globals
from imbdet.data.summary import DataSummary
from imbdet.data.workers import leave_stopping_to_parent
from imbdet.losses import ClassFrequencies


class TrainLoader:
    """Mapped images in batches, the same for any number of worker processes.

    Attributes:
        records: records of all images, as detectron2's dicts.
        summary: summary of the data sets.
        class_frequencies: frequencies of the classes in the data sets.
        class_weights: weights of the classes, see
            :class:`imbdet.data.training_records.TrainingData`.
        periods: periods whose factors determine how often images are drawn; None if nothing changes
            that.
        seed: seed of the order and of the augmentations.
        start: iteration of the first batch. Seed and start are read when the first batch is asked
            for, so that a checkpoint may set them after detectron2's trainer has made its iterator.
    """

    def __init__(
        self,
        records: DatasetFromList,
        mapper: Callable[[dict], dict],
        build_order: Callable[..., BatchOrder],
        *,
        summary: DataSummary,
        class_frequencies: ClassFrequencies,
        class_weights: Sequence[float],
        seed: int,
        num_workers: int,
        periods: ImagePeriods | None = None,
    ) -> None:
        """Store the parts of which batches are made.

        Args:
            records: records of all images, as detectron2's dicts.
            mapper: function that reads, augments and converts a record.
            build_order: function that makes the order from its argument ``seed``.
            summary: summary of the data sets of the records.
            class_frequencies: frequencies of the classes in these data sets.
            class_weights: weights of the classes, by which the objects are weighed.
            seed: seed of the order and of the augmentations, at least 0.
            num_workers: number of processes that map images; 0 maps them in this one.
            periods: periods that determine how often images are drawn; None leaves it to the order.
        """
        self.records = records
        self._mapper = mapper
        self._build_order = build_order
        self._num_workers = num_workers
        self.summary = summary
        self.class_frequencies = class_frequencies
        self.class_weights = class_weights
        self.periods = periods
        self.seed = seed
        self.start = 0

    def __iter__(self) -> Iterator[list[dict]]:
        return self.batches()

    def batches(self) -> Iterator[list[dict]]:
        """The batches from iteration ``start`` on."""
        yield from DataLoader(
            SeededImages(self.records, self._mapper, self.seed),
            batch_sampler=self._draws(),
            num_workers=self._num_workers,
            collate_fn=trivial_batch_collator,
            worker_init_fn=leave_stopping_to_parent,
            # Otherwise it would take a number from torch's global one, at another time if resumed.
            generator=torch.Generator(),
        )

    def _draws(self) -> Iterator[list[Draw]]:
        build_order = functools.partial(self._build_order, seed=self.seed)
        if self.periods is None:
            return build_order().batches(self.start)
        return self.periods.batches(build_order, self.start)

    def first_batches(self, number: int) -> Iterator[list[dict]]:
        """The batches of the first iterations, again and again, mapped in this process.

        Factors of periods do not change them.
        """
        dataset = SeededImages(self.records, self._mapper, self.seed)
        while True:
            order = self._build_order(seed=self.seed).batches()
            for _ in range(number):
                yield [dataset[draw] for draw in next(order)]


class SeededImages(Dataset):
    """Mapped images, augmented by random numbers that depend on the draw alone.

    They do not depend on the image, so that an epoch which repeats it shows it differently.
    """

    def __init__(self, records: DatasetFromList, mapper: Callable[[dict], dict], seed: int) -> None:
        self._records = records
        self._mapper = mapper
        self._seed = seed

    def __getitem__(self, draw: Draw) -> dict:
        with seeded_globals(seed_sequence(self._seed, IMAGE, draw.epoch, draw.place)):
            return self._mapper(self._records[draw.index])
