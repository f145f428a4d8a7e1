"""What one batch says of each of its objects and images: one sight of each.

Shape shorthand: G objects, B images, M samples, P positives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from imbdet.ops.precision import at_least_float32
from imbdet.records.file_boxes import boxes_in_files
from imbdet.records.places import look_at_places
from imbdet.records.sample_record import SampleRecord
from imbdet.weighting import times

Columns = Mapping[str, Tensor]

# IoU after regression from which on a box is right, as for AP50.
LEARNT_IOU = 0.5


@dataclass(frozen=True)
class Sights:
    """Columns on the CPU, one row for each object or image of each batch.

    Attributes:
        objects: see :func:`look_at_objects`.
        images: see :func:`look_at_images` and :func:`look_at_places`.
    """

    objects: Columns
    images: Columns

    @classmethod
    def of(
        cls,
        record: SampleRecord,
        *,
        iteration: int,
        objects: Tensor,
        images: Tensor,
        to_file: Tensor,
    ) -> "Sights":
        """The sights of a batch.

        Args:
            record: the samples of the batch.
            iteration: iteration of the training, from 0.
            objects: (G,) int64, the row of each object in the ledger.
            images: (B,) int64, the row of each image in the ledger.
            to_file: (B, 2, 2), see :func:`imbdet.records.file_boxes.boxes_in_files`.
        """
        of_images = {**look_at_images(record), **look_at_places(record, to_file)}
        return cls(
            {**look_at_objects(record, to_file), **_origin(objects, iteration)},
            {**of_images, **_origin(images, iteration)},
        )

    @classmethod
    def together(cls, parts: Iterable["Sights"]) -> "Sights":
        """All sights in the order of the iterations, those of an iteration in that of the parts."""
        parts = list(parts)
        return cls(
            _in_order([part.objects for part in parts]), _in_order([part.images for part in parts])
        )


def _origin(rows: Tensor, iteration: int) -> Columns:
    return {"row": rows, "iteration": torch.full_like(rows, iteration)}


def _in_order(parts: list[Columns]) -> Columns:
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    order = columns["iteration"].argsort(stable=True)
    return {name: values[order] for name, values in columns.items()}


def look_at_objects(record: SampleRecord, to_file: Tensor) -> dict[str, Tensor]:
    """Columns (G,) of the objects of a batch, on the CPU.

    "positives" is the number of an object's positives, as int64; "score", "iou", "gradient",
    "cls_loss", "box_loss" and, of the last two, "..._square" are float64 sums over them, NaN where
    the criterion reports no classification losses. "best_score" and "best_iou" are the highest, -1
    without positives. "shift", (G, 4), and "shift_square" are sums over them, too, each times its
    score: of the differences between the sides (x0, y0, x1, y1) of its box after regression and
    those of the object, in pixels of the file, and of the mean square of the four.

    The *best positive* is that of the highest score of the object's class, the first one of equals.
    "said" is its class with the highest score, -1 without positives, "is_wrong" whether that is not
    the object's, and "is_learnt" whether it is and its IoU after regression is at least 0.5;
    "rival" is its highest score of another class divided by the sum of this and its score of the
    object's class, in [0, 1], as float64, 0 without positives.

    Args:
        record: the samples.
        to_file: (B, 2, 2), see :func:`imbdet.records.file_boxes.boxes_in_files`.
    """
    found = _Positives(record)
    num_objects = len(record.samples.candidates.targets)
    values = found.values
    values |= {f"{name}_square": values[name] ** 2 for name in ("cls_loss", "box_loss")}
    scores, shifts = values["score"], found.shifts(to_file)
    values["shift_square"] = scores * shifts.square().mean(dim=1)
    zeros = torch.zeros(num_objects, dtype=torch.float64)
    none = torch.full((num_objects,), -1.0, dtype=torch.float64)
    best = found.best
    objects, classes = found.objects[best], found.classes[best]
    said, is_right = found.pred_classes[best], found.pred_classes[best] == classes
    no = torch.zeros(num_objects, dtype=torch.bool)
    return {
        "positives": found.objects.bincount(minlength=num_objects),
        # On the CPU an index_add adds the rows in their order.
        **{name: zeros.index_add(0, found.objects, column) for name, column in values.items()},
        "best_score": none.index_copy(0, objects, values["score"][best]),
        "best_iou": none.scatter_reduce(0, found.objects, values["iou"], "amax"),
        "said": torch.full((num_objects,), -1).index_copy(0, objects, said),
        "is_wrong": no.index_copy(0, objects, ~is_right),
        "is_learnt": no.index_copy(0, objects, is_right & (values["iou"][best] >= LEARNT_IOU)),
        "rival": zeros.index_copy(0, objects, found.best_rivals),
        "shift": zeros.new_zeros(num_objects, 4).index_add(
            0, found.objects, scores[:, None] * shifts
        ),
    }


def look_at_images(record: SampleRecord) -> dict[str, Tensor]:
    """Columns (B,) float64 of the images of a batch, on the CPU.

    "background" is the highest score of a negative that overlaps no object, -1 if there is none;
    "loss" the sum of all samples' losses times their weights, before the normalizer, NaN where the
    criterion reports no classification losses.
    """
    candidates = record.samples.candidates
    counts = list(candidates.num_per_image)
    is_far = candidates.is_negative & (candidates.ious == 0)
    # Each image gets a value of -1 more, so that each has a maximum.
    scores = record.scores.masked_fill(~is_far, -1.0).split(counts)
    background = torch.stack([torch.cat([of, of.new_tensor([-1.0])]).amax() for of in scores])
    return {"background": background.double().cpu(), "loss": _losses_of_images(record, counts)}


def _losses_of_images(record: SampleRecord, counts: list[int]) -> Tensor:
    samples = record.samples
    if record.cls_losses is None:
        return torch.full((len(counts),), torch.nan, dtype=torch.float64)
    losses = times(record.cls_losses.double(), samples.weights, record.cls_weights)
    losses = losses.masked_fill(samples.gt_labels < 0, 0.0)  # ignored
    box_losses = times(record.box_losses.double(), samples.pos_weights, record.box_weights)
    losses = losses.index_add(0, samples.pos_idxs, box_losses)
    return torch.stack([of_image.sum() for of_image in losses.split(counts)]).cpu()


class _Positives:
    """The positives of a batch on the CPU, columns (P,).

    Only their rows of the logits are read.
    """

    def __init__(self, record: SampleRecord):
        samples, rows = record.samples, record.samples.pos_idxs
        self._samples = samples
        classifier, logits = samples.outputs.classifier, samples.pred_logits[rows]
        labels = samples.gt_labels[rows]
        self.objects = samples.gt_idxs[rows].cpu()
        self.classes = labels.cpu()
        self.pred_classes = classifier.best_classes(logits).cpu()
        scores = classifier.scores_of(labels, logits)
        cls_losses, cls_weights = record.cls_losses, record.cls_weights
        gradients = times(
            1 - scores, samples.pos_weights, None if cls_weights is None else cls_weights[rows]
        )
        columns = {
            "score": scores,
            "iou": samples.positives.pred_ious,
            "gradient": gradients,
            "cls_loss": scores * torch.nan if cls_losses is None else cls_losses[rows],
            "box_loss": record.box_losses,
        }
        together = torch.stack([column.double() for column in columns.values()]).cpu()
        self.values = dict(zip(columns, together, strict=True))

    @cached_property
    def best(self) -> Tensor:
        """(objects with positives,) the index of the best positive of each."""
        order = self.values["score"].argsort(descending=True, stable=True)
        order = order[self.objects[order].argsort(stable=True)]
        objects = self.objects[order]
        is_first = torch.ones_like(objects, dtype=torch.bool)
        is_first[1:] = objects[1:] != objects[:-1]
        firsts: Tensor = order[is_first]
        return firsts

    @property
    def best_rivals(self) -> Tensor:
        """(objects with positives,) float64 rival's parts; 0 where both scores are 0.

        See :func:`imbdet.suspects.doubt.rival_parts`. A single class has no rival.
        """
        outputs = self._samples.outputs
        rows = self._samples.pos_idxs[self.best.to(self._samples.pos_idxs.device)]
        scores = outputs.classifier.scores(at_least_float32(outputs.logits[rows])).double().cpu()
        classes = self.classes[self.best, None]
        own = scores.gather(1, classes).squeeze(1)
        other = scores.scatter(1, classes, 0.0).amax(dim=1)
        both = own + other
        return (other / both).where(both > 0, 0.0)

    def shifts(self, to_file: Tensor) -> Tensor:
        """(P, 4) float64, from the objects' boxes to those after regression, in pixels of files."""
        samples = self._samples
        images = samples.image_idxs[samples.pos_idxs]
        own = to_file.to(images.device)[images].double()
        there, annotated = (
            boxes_in_files(boxes.double(), own)
            for boxes in (samples.positives.pred_boxes, samples.positives.gt_boxes)
        )
        return (there - annotated).cpu()
