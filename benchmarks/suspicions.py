"""How suspicious annotations and images are, by what a training leaves behind.

A suspicion is a function of :class:`Traces`. It has a value for each object, or each image where
objects may be missing, higher ones for what is more suspicious. NaN says nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pycocotools.mask
from planted import Planted

from imbdet.records.ledger_columns import SCHEMAS
from imbdet.run_files.ledger_tables import read_table
from imbdet.suspects import Duplicate, Evidence, Misplaced, Missing, SuspectKind, WrongClass
from imbdet.untrusted.reading import read_json


@dataclass(frozen=True, eq=False)
class Ledger:
    """A ledger of the training split of shapes.

    Attributes:
        planted: its annotations.
        tables: its tables "objects", "images" and "places".
    """

    planted: Planted
    tables: Mapping[str, pa.Table]

    @classmethod
    def read(cls, run: Path, planted: Planted) -> "Ledger":
        """Read it from the folder of a training."""
        tables = {name: read_table(run, name, SCHEMAS[name]) for name in SCHEMAS}
        return cls(planted, tables)

    @cached_property
    def objects(self) -> pl.DataFrame:
        """Rows of the annotations that are no crowds, in the order of the file."""
        return self._in_order("objects", "id", self.planted.objects)

    @cached_property
    def images(self) -> pl.DataFrame:
        """Rows of the images in the order of the file, null where one was never shown."""
        return self._in_order("images", "image_id", self.planted.images)

    @cached_property
    def evidence(self) -> Evidence:
        """The evidence as ``imbdet clean`` reads it."""
        content = self.planted.content
        classes = [category["name"] for category in content["categories"]]
        return Evidence.of(content, self.tables, "shapes_train", classes)

    def _in_order(self, name: str, key: str, records: Sequence[Mapping]) -> pl.DataFrame:
        ids = pl.DataFrame({key: [str(record["id"]) for record in records]})
        table = pl.DataFrame(pl.from_arrow(self.tables[name]))
        return ids.join(table, on=key, how="left", maintain_order="left")


@dataclass(frozen=True)
class Traces:
    """What is known after a training.

    Attributes:
        planted: the annotations; suspicions do not use the truth in them.
        ledger: ledger of the whole training.
        last_epoch: ledger of an epoch after its end, in which nothing is learnt.
        detections: file of the final detections on the training images, in COCO's form.
    """

    planted: Planted
    ledger: Ledger
    last_epoch: Ledger
    detections: Path

    @cached_property
    def overlaps(self) -> np.ndarray:
        """(A,) the highest IoU of each object with another one of its class."""
        ious = np.zeros(len(self.planted.objects))
        groups: dict[tuple, list[int]] = {}
        for k, note in enumerate(self.planted.objects):
            groups.setdefault((note["image_id"], note["category_id"]), []).append(k)
        for places in groups.values():
            boxes = [self.planted.objects[k]["bbox"] for k in places]
            among = pycocotools.mask.iou(boxes, boxes, [0] * len(boxes))
            np.fill_diagonal(among, 0)
            ious[places] = among.max(axis=1)
        return ious

    @cached_property
    def cleanlab_inputs(self) -> dict[str, list]:
        """The annotations and detections in cleanlab's form, image by image."""
        class_of = {c["id"]: k for k, c in enumerate(self.planted.content["categories"])}
        place_of = {image["id"]: k for k, image in enumerate(self.planted.images)}
        annotated: list[list[dict]] = [[] for _ in place_of]
        for note in self.planted.objects:
            annotated[place_of[note["image_id"]]].append(note)
        detected: list[list[list]] = [[[] for _ in class_of] for _ in place_of]
        for found in read_json(self.detections):
            row = [*_corners(found["bbox"]), found["score"]]
            detected[place_of[found["image_id"]]][class_of[found["category_id"]]].append(row)
        return {
            "labels": [
                {
                    "bboxes": np.array([_corners(n["bbox"]) for n in notes]).reshape(-1, 4),
                    "labels": np.array([class_of[n["category_id"]] for n in notes], dtype=int),
                }
                for notes in annotated
            ],
            "predictions": [
                _array_of([np.array(rows, dtype=float).reshape(-1, 5) for rows in of_classes])
                for of_classes in detected
            ],
        }

    def by_object(self, of_images: list[np.ndarray]) -> np.ndarray:
        """Values of the annotations of each image, in the order of all objects."""
        left = {
            image["id"]: iter(values)
            for image, values in zip(self.planted.images, of_images, strict=True)
        }
        return np.array([next(left[note["image_id"]]) for note in self.planted.objects])


def _array_of(parts: list[np.ndarray]) -> np.ndarray:
    array = np.empty(len(parts), dtype=object)
    array[:] = parts
    return array


def _corners(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y + height]


def _confident_score(traces: Traces) -> float:
    """The score from which on there are as many detections as annotated objects.

    cleanlab's thresholds, 0.95 and 0.5, are meant for softmax scores: sigmoid scores of focal loss
    hardly reach them.
    """
    scores = sorted((found["score"] for found in read_json(traces.detections)), reverse=True)
    return scores[min(len(scores), len(traces.planted.objects)) - 1]


def _swap(traces: Traces, **thresholds: float) -> np.ndarray:
    from cleanlab.object_detection.rank import compute_swap_box_scores

    return -traces.by_object(compute_swap_box_scores(**traces.cleanlab_inputs, **thresholds))


def _badloc(traces: Traces, **thresholds: float) -> np.ndarray:
    from cleanlab.object_detection.rank import compute_badloc_box_scores

    return -traces.by_object(compute_badloc_box_scores(**traces.cleanlab_inputs, **thresholds))


def _overlooked(traces: Traces, **thresholds: float) -> np.ndarray:
    from cleanlab.object_detection.rank import (
        compute_overlooked_box_scores,
        pool_box_scores_per_image,
    )

    scores = compute_overlooked_box_scores(**traces.cleanlab_inputs, **thresholds)
    return -pool_box_scores_per_image(scores)


def _at_confident_score(
    suspicion: Callable[..., np.ndarray], threshold: str
) -> Callable[[Traces], np.ndarray]:
    return lambda traces: suspicion(traces, **{threshold: _confident_score(traces)})


def _of_ledger(table: str, expression: pl.Expr, *, epoch: bool = False) -> "Suspicion":
    def suspicion(traces: Traces) -> np.ndarray:
        ledger = traces.last_epoch if epoch else traces.ledger
        values = getattr(ledger, table).select(expression.cast(pl.Float64).fill_null(np.nan))
        return values.to_series().to_numpy()

    return suspicion


def _of_kind(kind: type[SuspectKind], *, epoch: bool = False) -> "Suspicion":
    """The scores of ``imbdet clean``; both annotations of a duplicate have that of the pair, and an
    image where objects may be missing has the highest of its places."""

    def suspicion(traces: Traces) -> np.ndarray:
        ledger = traces.last_epoch if epoch else traces.ledger
        scores: dict[str, float] = {}
        suspects = kind(ledger.evidence)
        for suspect in suspects.ranked(len(suspects.scores)):
            for name in (suspect.id or suspect.image_id, suspect.partner or suspect.id):
                scores.setdefault(str(name), suspect.score)
        of_kind = traces.planted.images if kind is Missing else traces.planted.objects
        return np.array([scores.get(str(record["id"]), 0.0) for record in of_kind])

    return suspicion


Suspicion = Callable[[Traces], np.ndarray]

# Suspicions by kind of fault and by name: replace or add lines to try others.
SUSPICIONS: Mapping[str, Mapping[str, Suspicion]] = {
    "wrong class": {
        "cleanlab: swap": _swap,
        "cleanlab: swap, threshold by number": _at_confident_score(
            _swap, "high_probability_threshold"
        ),
        "last epoch: cls_loss_mean": _of_ledger("objects", pl.col("cls_loss_mean"), epoch=True),
        "last epoch: imbdet clean": _of_kind(WrongClass, epoch=True),
        "ledger: cls_loss_mean": _of_ledger("objects", pl.col("cls_loss_mean")),
        "ledger: wrong / judged": _of_ledger("objects", pl.col("wrong") / pl.col("judged")),
        "ledger: rival_mean": _of_ledger("objects", pl.col("rival_mean")),
        "ledger: imbdet clean": _of_kind(WrongClass),
    },
    "badly placed": {
        "cleanlab: badloc": _badloc,
        "cleanlab: badloc, threshold by number": _at_confident_score(
            _badloc, "low_probability_threshold"
        ),
        "last epoch: box_loss_mean": _of_ledger("objects", pl.col("box_loss_mean"), epoch=True),
        "last epoch: 1 - iou_mean": _of_ledger("objects", 1 - pl.col("iou_mean"), epoch=True),
        "last epoch: imbdet clean": _of_kind(Misplaced, epoch=True),
        "ledger: box_loss_mean": _of_ledger("objects", pl.col("box_loss_mean")),
        "ledger: 1 - iou_mean": _of_ledger("objects", 1 - pl.col("iou_mean")),
        "ledger: imbdet clean": _of_kind(Misplaced),
    },
    "missing": {
        "cleanlab: overlooked": _overlooked,
        "cleanlab: overlooked, threshold by number": _at_confident_score(
            _overlooked, "high_probability_threshold"
        ),
        "last epoch: loss_share": _of_ledger("images", pl.col("loss_share"), epoch=True),
        "last epoch: background_mean": _of_ledger("images", pl.col("background_mean"), epoch=True),
        "last epoch: imbdet clean": _of_kind(Missing, epoch=True),
        "ledger: background_mean": _of_ledger("images", pl.col("background_mean")),
        "ledger: imbdet clean": _of_kind(Missing),
    },
    "duplicate": {
        "annotations: IoU with another of its class": lambda traces: traces.overlaps,
        "last epoch: cls_loss_mean": _of_ledger("objects", pl.col("cls_loss_mean"), epoch=True),
        "ledger: 1 - positives / seen": _of_ledger(
            "objects", -pl.col("positives") / pl.col("seen")
        ),
        "ledger: imbdet clean": _of_kind(Duplicate),
    },
}
