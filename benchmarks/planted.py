"""The faults planted in the training annotations of shapes, as labels for rankings."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Planted:
    """An annotation file of shapes.

    Attributes:
        content: content of the file.
    """

    content: dict

    @classmethod
    def read(cls, path: Path) -> "Planted":
        """Read the file of the training split."""
        return cls(json.loads(path.read_text()))

    @property
    def images(self) -> list[dict]:
        """All images."""
        return self.content["images"]

    @cached_property
    def objects(self) -> list[dict]:
        """The annotations that are no crowds."""
        return [note for note in self.content["annotations"] if not note["iscrowd"]]

    @cached_property
    def classes(self) -> np.ndarray:
        """(A,) the annotated category of each object."""
        return np.array([note["category_id"] for note in self.objects])

    def truth(self, kind: str) -> np.ndarray:
        """Whether each object has a fault of a kind, or each image for those that are missing.

        Both annotations of an object that is annotated twice count, as nothing shows which was the
        first.
        """
        rows = self.images if kind == "missing" else self.objects
        return np.array([self._rules[kind](row) for row in rows])

    @cached_property
    def _rules(self) -> dict[str, Callable[[dict], bool]]:
        doubled = {note["duplicate_of"] for note in self.objects if "duplicate_of" in note}
        return {
            "wrong class": lambda note: note["category_id"] != note["true_category_id"],
            "badly placed": lambda note: "true_bbox" in note,
            "missing": lambda image: bool(image.get("missing")),
            "duplicate": lambda note: "duplicate_of" in note or note["id"] in doubled,
        }
