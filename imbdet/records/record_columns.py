"""Samples as rows of a Parquet file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import torch
from torch import Tensor

from imbdet.ops.precision import at_least_float32
from imbdet.records.file_boxes import EDGES, boxes_in_files
from imbdet.records.sample_record import SampleRecord
from imbdet.records.strata import NegativeStrata
from imbdet.structures import Candidates


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


# One row per sample. docs/records.md says more about each column, and when it is null.
SCHEMA = pa.schema(
    [
        _column("iteration", pa.int32(), "of the training, from 0"),
        _column("site", pa.string(), "place in the detector, such as retinanet, rpn or roi_heads"),
        _column("image_id", pa.string(), "as the data set names the image"),
        _column("level", pa.int8(), "of the feature pyramid, 0 = finest; -1 = not known"),
        _column("is_positive", pa.bool_(), "whether it belongs to an object"),
        _column("class", pa.int32(), "of the object, from 0"),
        _column("gt_id", pa.int32(), "the object: its place among those of the image"),
        _column("x0", pa.float32(), "left edge of anchor or proposal, in pixels of the file"),
        _column("y0", pa.float32(), "upper edge"),
        _column("x1", pa.float32(), "right edge"),
        _column("y1", pa.float32(), "lower edge"),
        _column("iou", pa.float32(), "highest IoU of anchor or proposal with any object"),
        _column("pred_iou", pa.float32(), "IoU of the predicted box with its object"),
        _column("score", pa.float32(), "of the object's class; negatives: the highest"),
        _column("pred_class", pa.int32(), "with the highest score"),
        _column("grad_norm", pa.float32(), "|p - p*| of the score, as in GHM"),
        _column("cls_loss", pa.float32(), "classification loss before weights"),
        _column("box_loss", pa.float32(), "box loss before weights"),
        _column("weight", pa.float32(), "factor of all losses, as the data say"),
        _column("cls_weight", pa.float32(), "further factor of the classification loss"),
        _column("box_weight", pa.float32(), "further factor of the box loss"),
        _column("local_rank", pa.int32(), "by pred_iou among those of its object, 0 = best"),
        _column("hierarchical_rank", pa.int32(), "IoU-HLR in its class and batch, 0 = best"),
        _column("importance", pa.float32(), "as the sampler ranks it, in (0, 1], 1 = highest"),
        _column("chosen_by", pa.string(), "name of the sampler that chose it"),
        _column("stratum_weight", pa.float64(), "how many samples the row stands for, >= 1"),
    ],
    metadata={"format": "imbdet samples", "version": "1"},
)


@dataclass(frozen=True)
class Batch:
    """The origin of samples, which they do not carry themselves.

    Attributes:
        iteration: iteration of the training, from 0.
        image_ids: id of each image.
        num_objects: number of objects of each image.
        to_file: (N, 2, 2) the factors of x and y, then the offsets, that convert pixels of an image
            as the network sees it into pixels of its file; None if unknown.
    """

    iteration: int
    image_ids: Sequence[str]
    num_objects: Sequence[int]
    to_file: Tensor | None = None

    @classmethod
    def of(cls, iteration: int, inputs: Sequence[Mapping[str, Any]]) -> "Batch":
        """The batch of detectron2's dicts of images; "to_file" is of :class:`TrainMapper`."""
        is_located = all("to_file" in image for image in inputs)
        return cls(
            iteration,
            [str(image["image_id"]) for image in inputs],
            [len(image["instances"]) for image in inputs],
            torch.stack([image["to_file"] for image in inputs]) if is_located else None,
        )


def to_rows(
    record: SampleRecord,
    negatives: NegativeStrata,
    batch: Batch,
    *,
    site: str,
    chosen_by: tuple[str, str],
) -> pa.RecordBatch:
    """Rows of all positives and of the negatives to keep.

    Args:
        record: the samples.
        negatives: negatives to keep.
        batch: the origin of the samples.
        site: name of the place in the detector.
        chosen_by: names of the samplers of positives and of negatives.
    """
    candidates = record.samples.candidates
    rows = torch.cat([candidates.pos_idxs, negatives.rows])
    num_rows, num_positives = len(rows), len(candidates.pos_idxs)
    images, levels = candidates.image_idxs[rows], candidates.levels_of(rows)
    importance = candidates.importance
    is_positive = torch.arange(num_rows) < num_positives
    tensors = {
        "iteration": torch.full((num_rows,), batch.iteration),
        "level": torch.full_like(rows, -1) if levels is None else levels.idxs,
        "is_positive": is_positive,
        **_corners(candidates, rows, batch.to_file),
        "iou": candidates.ious[rows],
        "score": record.scores[rows],
        "pred_class": record.pred_classes[rows],
        "grad_norm": record.grad_norms[rows],
        "cls_loss": None if record.cls_losses is None else record.cls_losses[rows],
        "weight": _or_ones(candidates.weights, candidates.ious)[rows],
        "cls_weight": _or_ones(record.cls_weights, candidates.ious)[rows],
        "importance": None if importance is None else importance[rows],
        "stratum_weight": torch.cat([negatives.weights.new_ones(num_positives), negatives.weights]),
        **_of_positives(record, images[:num_positives], batch.num_objects),
    }
    arrays = {name: _with_nulls(name, values, num_rows) for name, values in tensors.items()}
    arrays["site"] = _names([site], torch.zeros_like(rows))
    arrays["image_id"] = _names(batch.image_ids, images)
    arrays["chosen_by"] = _names(chosen_by, (~is_positive).long())
    return pa.record_batch([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


def to_parquet(rows: Sequence[pa.RecordBatch]) -> bytes:
    """The content of a Parquet file."""
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.Table.from_batches(rows, SCHEMA), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _corners(
    candidates: Candidates, rows: Tensor, to_file: Tensor | None
) -> dict[str, Tensor | None]:
    """Edges of the boxes of some rows, in pixels of the image files."""
    if to_file is None:
        return dict.fromkeys(EDGES)
    own = to_file.to(rows.device)[candidates.image_idxs[rows]]
    edges = boxes_in_files(candidates.boxes_of(rows), own)
    return dict(zip(EDGES, edges.unbind(1), strict=True))


def _of_positives(
    record: SampleRecord, images: Tensor, num_objects: Sequence[int]
) -> dict[str, Tensor]:
    """Columns of the positives alone, (P,), whose images are ``images``, (P,)."""
    samples = record.samples
    rows = samples.pos_idxs
    counts = torch.tensor(num_objects, device=rows.device)
    first_objects = counts.cumsum(0) - counts
    return {
        "class": samples.gt_labels[rows],
        "gt_id": samples.gt_idxs[rows] - first_objects[images],
        "pred_iou": samples.positives.pred_ious,
        "box_loss": record.box_losses,
        "box_weight": _or_ones(record.box_weights, record.box_losses),
        "local_rank": record.local_ranks,
        "hierarchical_rank": record.hierarchical_ranks,
    }


def _or_ones(weights: Tensor | None, like: Tensor) -> Tensor:
    return torch.ones_like(like) if weights is None else weights


def _with_nulls(name: str, values: Tensor | None, length: int) -> pa.Array:
    """A column of the schema from its first values; all others, or all, are null."""
    kind = SCHEMA.field(name).type
    if values is None:
        return pa.nulls(length, kind)
    if values.is_floating_point():
        values = at_least_float32(values)  # numpy has no bfloat16
    known = pa.array(values.cpu().numpy()).cast(kind)
    return pa.concat_arrays([known, pa.nulls(length - len(known), kind)])


def _names(names: Sequence[str], idxs: Tensor) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(idxs.cpu().numpy()))
