"""Summaries of the data of a training: its classes in their order, and its annotations.

Classes are numbers to a detector. A run and its checkpoints store the names, so that weights are
not used on data whose classes have other numbers.
"""

import hashlib
import logging
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from detectron2.data import MetadataCatalog

from imbdet.errors import UserError
from imbdet.losses import ClassFrequencies
from imbdet.wording import counted

logger = logging.getLogger(__name__)

# Highest number of classes that a message names.
_FEW = 8


@dataclass(frozen=True)
class Annotations:
    """A summary of the annotations of a data set.

    Attributes:
        images: number of images.
        boxes: number of boxes, crowds included.
        fingerprint: hash of images, boxes, classes, crowds and weights, in their order; folders of
            files do not change it.
    """

    images: int
    boxes: int
    fingerprint: str

    def __str__(self) -> str:
        return f"{counted(self.images, 'image')} with {counted(self.boxes, 'box', 'boxes')}"


@dataclass(frozen=True)
class DataSummary:
    """A summary of the data sets of a training.

    Attributes:
        classes: names of the classes, by class number.
        category_ids: ids of the classes in the annotation file, by class number.
        annotations: summaries of the annotations, by the name of the data set.
        images_of_class: number of images with objects of each class, by class number; empty where
            it is not known, as in runs of earlier versions.
    """

    classes: Sequence[str]
    category_ids: Sequence[int]
    annotations: Mapping[str, Annotations]
    images_of_class: Sequence[int] = ()

    @classmethod
    def of(
        cls, records: Mapping[str, Sequence[Mapping]], frequencies: ClassFrequencies
    ) -> "DataSummary":
        """The summary of data sets with the same classes.

        Args:
            records: detectron2's dicts, by the name of a registered data set.
            frequencies: frequencies of the classes in the data sets, possibly followed by those of
                others.
        """
        name = next(iter(records))
        classes = list(MetadataCatalog.get(name).thing_classes)
        annotations = {name: summarize(of_set) for name, of_set in records.items()}
        category_ids = category_ids_of(name, len(classes))
        images_of_class = frequencies.images[: len(classes)].tolist()
        return cls(classes, category_ids, annotations, images_of_class)

    @classmethod
    def parse(cls, state: object) -> "DataSummary | None":
        """Restore a result of :meth:`state`; None if it is something else."""
        try:
            summary = cls(
                [_require(str, name) for name in state["classes"]],
                [_require(int, category_id) for category_id in state["category_ids"]],
                {_require(str, k): Annotations(**v) for k, v in state["annotations"].items()},
                [_require(int, number) for number in state.get("images_of_class", [])],
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        num_classes = len(summary.classes)
        is_whole = num_classes == len(summary.category_ids)
        return summary if is_whole and len(summary.images_of_class) in (0, num_classes) else None

    @property
    def training_images(self) -> dict[str, int]:
        """The number of images with each class, by name, where it is known."""
        return dict(zip(self.classes, self.images_of_class, strict=False))

    def state(self) -> dict[str, Any]:
        """The summary as plain lists, dicts, texts and numbers."""
        return asdict(self)

    def warn_of_changes(self, now: "DataSummary") -> None:
        """Warn if a training goes on with other annotations than it began with."""
        changes = [
            f"'{name}' had {before} and has {after}"
            + (", others or in another order" if str(before) == str(after) else "")
            for name, before in self.annotations.items()
            if (after := now.annotations.get(name)) is not None and after != before
        ]
        if changes:
            logger.warning(
                f"The run goes on with other annotations than it began with: {'; '.join(changes)}. "
                "Its batches are not those that they would have been."
            )


def require_classes(learned: Sequence[str], name: str, weights: str) -> None:
    """Refuse a data set whose classes are not, in their order, the first ones that were learned.

    Args:
        learned: names of the classes that were learned, by class number.
        name: name of the data set, which is loaded.
        weights: description of the weights that learned them, with which the message begins.

    Raises:
        UserError: a class differs; the message names the first one.
    """
    classes = MetadataCatalog.get(name).thing_classes
    number = min(len(learned), len(classes))
    difference = find_difference(learned[:number], classes[:number])
    if difference:
        raise UserError(
            f"{weights} learned other classes than those of '{name}', or in another order: "
            f"{difference}. Classes are numbered in the order of their ids in the annotation file: "
            f"give those of '{name}' names and ids in the order of the training "
            f"({_shorten(learned)}), or choose weights that learned its classes."
        )


def find_difference(before: Sequence[str], now: Sequence[str]) -> str:
    """A description of the first class that differs, or ""."""
    for index, names in enumerate(zip_longest(before, now)):
        if names[0] != names[1]:
            was, is_now = ("nothing" if name is None else repr(name) for name in names)
            return f"class {index} was {was} and is {is_now}"
    return ""


def category_ids_of(name: str, num_classes: int) -> list[int]:
    """The ids of a loaded data set's classes in its annotation file; 1, 2, ... without one."""
    class_of = MetadataCatalog.get(name).get("thing_dataset_id_to_contiguous_id")
    if class_of is None:
        return list(range(1, num_classes + 1))
    id_of = {index: category_id for category_id, index in class_of.items()}
    return [id_of[index] for index in range(num_classes)]


def summarize(records: Iterable[Mapping]) -> Annotations:
    """Count and fingerprint detectron2's dicts, whose boxes are of four numbers."""
    digest, num_images, num_boxes = hashlib.sha256(), 0, 0
    for record in records:
        notes = record.get("annotations", ())
        numbers = [number for note in notes for number in _numbers(note)]
        numbers += [record["weight"]] if "weight" in record else []
        name = os.path.basename(record["file_name"])
        digest.update(f"{record.get('image_id')!r} {name!r} {len(notes)} ".encode())
        digest.update(struct.pack(f"<{len(numbers)}d", *numbers))
        num_images, num_boxes = num_images + 1, num_boxes + len(notes)
    return Annotations(num_images, num_boxes, digest.hexdigest()[:16])


def summarize_content(content: Mapping) -> Annotations:
    """Count and fingerprint the content of an annotation file; see :func:`summarize`."""
    notes_of: defaultdict[Any, list[Mapping]] = defaultdict(list)
    for note in content.get("annotations", ()):
        notes_of[note["image_id"]].append(note)
    return summarize(
        {
            "image_id": image["id"],
            "file_name": image["file_name"],
            "annotations": notes_of[image["id"]],
            **({"weight": image["weight"]} if "weight" in image else {}),
        }
        for image in content["images"]
    )


def _numbers(note: Mapping) -> Iterator[float]:
    yield note["category_id"]
    yield note.get("iscrowd", 0)
    yield from note["bbox"]
    if "weight" in note:
        yield note["weight"]


def _require(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(value)
    return value


def _shorten(classes: Sequence[str]) -> str:
    names = ", ".join(map(repr, classes[:_FEW]))
    return f"{names}, ..." if len(classes) > _FEW else names
