"""Maps images of which some may be broken, which are refused or replaced by others."""

import functools
import logging
import time

import torch
from detectron2.data import DatasetFromList, DatasetMapper

from imbdet.data.images import find_image_problem, find_resize_problem, require_8_bits
from imbdet.errors import UserError
from imbdet.wording import counted

logger = logging.getLogger(__name__)


class ImageError(UserError):
    """An image cannot be used; one sentence, even from a worker process.

    For an error in a worker process, the data loader makes a new one of the same class from the
    printed traceback, which ends with the sentence.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


class StrictMapper:
    """Refuses a broken image, and counts the others that are broken.

    Args:
        mapper: mapper that reads, augments and converts a record.
        dataset: records of all images.
        advice: sentence that ends the message.
    """

    # Seconds for the search for other broken images.
    MAX_SECONDS = 30.0

    def __init__(
        self, mapper: DatasetMapper, dataset: DatasetFromList, *, advice: str = ""
    ) -> None:
        self._mapper = mapper
        self._dataset = dataset
        self._advice = advice

    def __call__(self, record: dict) -> dict:
        """The result of the mapper for ``record``."""
        try:
            return map_image(self._mapper, record)
        except ImageError as error:
            others = self._describe_others(record["file_name"])
            raise ImageError(f"{error}. {others} {self._advice}") from error

    def _describe_others(self, file_name: str) -> str:
        deadline = time.monotonic() + self.MAX_SECONDS
        num_checked = num_broken = 0
        limit = ""
        for index in range(len(self._dataset)):
            if time.monotonic() > deadline:
                limit = " checked in time"
                break
            record = self._dataset[index]
            if record["file_name"] != file_name:
                num_checked += 1
                num_broken += _find_problem(self._mapper, record) is not None
        others = counted(num_checked, "other image")
        return f"Also broken: {num_broken:,} of the {others}{limit}."


class SkippingMapper:
    """Takes another image in place of a broken one, with a warning per broken file.

    Args:
        mapper: mapper that reads, augments and converts a record.
        dataset: records of all images. The next image that is not broken is the substitute.

    Reading fails before any random number is drawn, so that the substitute is the same whether the
    image was known to be broken or not.
    """

    def __init__(self, mapper: DatasetMapper, dataset: DatasetFromList) -> None:
        self._mapper = mapper
        self._dataset = dataset
        # Shared by the worker processes: only one of them warns of an image, unless several meet it
        # at once.
        self._is_broken = torch.zeros(len(dataset), dtype=torch.bool).share_memory_()

    def __call__(self, record: dict) -> dict:
        """The result of the mapper for ``record`` or for its substitute."""
        try:
            return map_image(self._mapper, record)
        except ImageError as error:
            start = self._indices[record["file_name"]]
            self._note(start, error)
        num_images = len(self._dataset)
        for index in (i % num_images for i in range(start + 1, start + num_images)):
            if not self._is_broken[index]:
                try:
                    return map_image(self._mapper, self._dataset[index])
                except ImageError as error:
                    self._note(index, error)
        raise ImageError(f"None of the {counted(num_images, 'image')} can be used.")

    @functools.cached_property
    def _indices(self) -> dict[str, int]:
        # They are collected only where there is a broken image.
        return {self._dataset[i]["file_name"]: i for i in range(len(self._dataset))}

    def _note(self, index: int, error: ImageError) -> None:
        if not self._is_broken[index]:
            self._is_broken[index] = True
            logger.warning(f"{error}. Another image takes its place.")


def map_image(mapper: DatasetMapper, record: dict) -> dict:
    """The result of ``mapper`` for ``record``.

    Raises:
        ImageError: the record's image cannot be used.
    """
    try:
        require_8_bits(record["file_name"])
        if find_resize_problem(record, mapper.augmentations):
            raise ValueError  # as Pillow would, but before a random number is drawn
        return mapper(record)
    except Exception as error:
        problem = _find_problem(mapper, record)
        if problem is None:  # the annotations, or a bug
            raise
        raise ImageError(f"Image '{record['file_name']}' {problem}") from error


def _find_problem(mapper: DatasetMapper, record: dict) -> str | None:
    return find_image_problem(record, mapper.image_format) or find_resize_problem(
        record, mapper.augmentations
    )
