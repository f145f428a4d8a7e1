"""The endless training loader: every batch is a function of the seed and the iteration."""

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator

import torch
from detectron2.data import DatasetFromList
from detectron2.data.build import trivial_batch_collator
from torch.utils.data import DataLoader, Dataset, dataloader

from imbdet.data.order import BatchOrder, Draw
from imbdet.data.seeding import IMAGE, seed_sequence, seeded_globals
from imbdet.errors import UserError

# An ended process lets go of its memory before its parent is told: below a second, by far.
_SECONDS_TO_END = 5


class TrainLoader:
    """Mapped images in batches, the same for any number of worker processes.

    Attributes:
        seed: of the order and of the augmentations.
        start: iteration of the first batch. Both count when the first batch is asked for, so that a
            checkpoint may set them after detectron2's trainer has made its iterator.
    """

    def __init__(
        self,
        records: DatasetFromList,
        mapper: Callable[[dict], dict],
        build_order: Callable[..., BatchOrder],
        *,
        seed: int,
        num_workers: int,
    ) -> None:
        """Hold what batches are made from.

        Args:
            records: all images, as detectron2's dicts.
            mapper: reads, augments and converts a record.
            build_order: makes the order from its ``seed``.
            seed: at least 0.
            num_workers: processes that map images; 0 maps them in this one.
        """
        self._records = records
        self._mapper = mapper
        self._build_order = build_order
        self._num_workers = num_workers
        self.seed = seed
        self.start = 0

    def __iter__(self) -> Iterator[list[dict]]:
        return self.batches()

    def batches(self) -> Iterator[list[dict]]:
        """From iteration ``start`` on."""
        yield from DataLoader(
            SeededImages(self._records, self._mapper, self.seed),
            batch_sampler=self._build_order(seed=self.seed).batches(self.start),
            num_workers=self._num_workers,
            collate_fn=trivial_batch_collator,
            # Otherwise it would take a number from torch's global one, at another time if resumed.
            generator=torch.Generator(),
        )

    def first_batches(self, number: int) -> Iterator[list[dict]]:
        """Those of the first iterations, again and again, mapped in this process."""
        dataset = SeededImages(self._records, self._mapper, self.seed)
        while True:
            order = self._build_order(seed=self.seed).batches()
            for _ in range(number):
                yield [dataset[draw] for draw in next(order)]


class SeededImages(Dataset):
    """Mapped images, augmented by random numbers that depend on the draw alone.

    Not on the image: an epoch that repeats it shall show it differently.
    """

    def __init__(self, records: DatasetFromList, mapper: Callable[[dict], dict], seed: int) -> None:
        self._records = records
        self._mapper = mapper
        self._seed = seed

    def __getitem__(self, draw: Draw) -> dict:
        with seeded_globals(seed_sequence(self._seed, IMAGE, draw.epoch, draw.place)):
            return self._mapper(self._records[draw.index])


@contextlib.contextmanager
def explained_worker_deaths() -> Iterator[None]:
    """Tell in a sentence that a worker process of a loader is gone.

    torch finds that at once or within seconds and raises, wherever the main thread is.

    Raises:
        UserError: a worker process was killed or has left.
    """
    try:
        try:
            yield
        except (ConnectionError, EOFError) as error:
            if not _came_from_a_loader(error):
                raise
            # torch's own word, a RuntimeError by a signal, names the process and what killed it. It
            # comes as soon as the process has ended; if it came before, it may have been swallowed.
            time.sleep(_SECONDS_TO_END)
            raise _DeadWorkerError(str(error)) from error
    except RuntimeError as error:
        # What a worker raised itself comes as "Caught ... in DataLoader worker process 0".
        if not isinstance(error, _DeadWorkerError) and "DataLoader worker (pid" not in str(error):
            raise
        raise UserError(
            f"A process that reads images is gone ({str(error).strip()}). Most often memory ran "
            "out: lower DATALOADER.NUM_WORKERS, or give the machine (or its /dev/shm) more."
        ) from error


class _DeadWorkerError(RuntimeError):
    """It can no longer hand over the images that it announced."""


def _came_from_a_loader(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    is_passed_on = "in DataLoader worker process" in str(error)
    return not is_passed_on and any(
        frame.f_code.co_filename == dataloader.__file__ for frame, _ in frames
    )
