"""The rows of a ledger: those of images and, image after image, those of their annotations."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imbdet.errors import UserError


class LedgerRows:
    """The rows of the images and annotations of a training.

    Attributes:
        datasets: name of the data set of each image.
        image_ids: id of each image in its data set, as text.
        num_objects: (I,) int64, number of annotations of each image, with crowds and ignored ones.
        object_ids: id of each annotation in its data set, as text.
        classes: (A,) int32, class of each annotation, from 0.
        is_ignored: (A,) bool, whether an annotation is a crowd or ignored, and never shown as an
            object.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]]):
        """Number the images and annotations.

        Args:
            records: detectron2's dicts, with "dataset_name".

        Raises:
            UserError: an annotation has no "id".
        """
        self.datasets: list[str] = []
        self.image_ids: list[str] = []
        self.object_ids: list[str] = []
        self._rows: dict[tuple[str, Any], int] = {}
        numbers, classes, is_ignored = [], [], []
        for record in records:
            key = record["dataset_name"], record["image_id"]
            if key in self._rows:
                continue  # a data set that is named twice
            self._rows[key] = len(self.datasets)
            self.datasets.append(record["dataset_name"])
            self.image_ids.append(str(record["image_id"]))
            notes = record["annotations"]
            numbers.append(len(notes))
            self.object_ids += [_id_of(note, record) for note in notes]
            classes += [note["category_id"] for note in notes]
            is_ignored += [bool(note.get("iscrowd", 0)) for note in notes]
        self.num_objects = np.array(numbers, dtype=np.int64)
        self.classes = np.array(classes, dtype=np.int32)
        self.is_ignored = np.array(is_ignored, dtype=bool)
        self._first_objects = (self.num_objects.cumsum() - self.num_objects).tolist()

    @property
    def fingerprint(self) -> str:
        """Hash of the images and annotations, in their order."""
        digest = hashlib.sha256(repr(self.num_objects.tolist()).encode())
        for names in (self.datasets, self.image_ids, self.object_ids):
            digest.update(repr(names).encode())
        return digest.hexdigest()[:16]

    def of_images(self, inputs: Sequence[Mapping[str, Any]]) -> Tensor:
        """(B,) int64, rows of the images of a batch of mapped records."""
        return torch.tensor([self._row(image) for image in inputs])

    def of_objects(self, inputs: Sequence[Mapping[str, Any]]) -> Tensor:
        """(G,) int64, rows of the objects of a batch, with "gt_places" of :class:`TrainMapper`."""
        places = [
            self._first_objects[self._row(image)] + image["instances"].gt_places.cpu()
            for image in inputs
        ]
        return torch.cat(places)

    def _row(self, image: Mapping[str, Any]) -> int:
        return self._rows[image["dataset_name"], image["image_id"]]


def _id_of(note: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    if "id" not in note:
        raise UserError(
            f"LEDGER.ENABLED is True, but an annotation of '{record['file_name']}' in the data set "
            f"'{record['dataset_name']}' has no 'id', by which the ledger names it: give each one "
            "an 'id', or set LEDGER.ENABLED to False."
        )
    return str(note["id"])
