"""The candidates of an image as rows of the tables."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from imbdet.analysis.assignments import count_by_object
from imbdet.analysis.frozen_detector import ImageCandidates
from imbdet.figures.columns import BOX, IGNORED, NEGATIVE, POSITIVE, chosen_by, object_by
from imbdet.figures.rank_histogram import negatives_above
from imbdet.ops.boxes import paired_iou
from imbdet.structures import Samples
from imbdet.weighting import hierarchical_local_rank


def image_row(image: dict, found: ImageCandidates) -> dict[str, list]:
    """The row of an image, for the schema IMAGES."""
    return {
        "image_id": [str(image["image_id"])],
        "file_name": [image["file_name"]],
        "width": [image["width"]],
        "height": [image["height"]],
        "num_candidates": [len(found.candidates)],
        "num_not_finite": [found.num_not_finite],
    }


def object_rows(image: dict, found: ImageCandidates) -> dict[str, object]:
    """Rows of the objects, for the schema OBJECTS."""
    boxes = _boxes(found.targets.gt_boxes.tensor, found)
    gt_idxs = found.candidates.gt_idxs
    owned = gt_idxs[gt_idxs >= 0].bincount(minlength=len(boxes))
    return {
        "image_id": [str(image["image_id"])] * len(boxes),
        "gt_id": np.arange(len(boxes)),
        "class": found.targets.gt_classes.cpu().numpy(),
        **_corners(boxes),
        "area": (boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        "num_positives": owned.cpu().numpy(),
    }


def region_rows(image: dict, found: ImageCandidates) -> dict[str, object]:
    """Rows of the ignored regions, for the schema REGIONS."""
    regions = found.candidates.targets.regions
    boxes = np.empty((0, 4)) if regions is None else _boxes(regions.boxes, found)
    return {"image_id": [str(image["image_id"])] * len(boxes), **_corners(boxes)}


def candidate_rows(
    image: dict,
    found: ImageCandidates,
    chosen: Mapping[str, Tensor],
    ranked_negatives: Tensor,
    objects: Mapping[str, Tensor],
) -> dict[str, object]:
    """Rows of the candidates, for a :func:`candidate_schema`.

    Args:
        image: detectron2's dict.
        found: candidates of the image.
        chosen: by sampler, (M,) bool, whether it chose the candidate.
        ranked_negatives: (N,) int64, rows in the order of Score-HLR.
        objects: by assigner, (M,) int64, the object of the candidate or -1.
    """
    candidates = found.candidates
    samples = Samples(candidates, candidates.require_outputs())
    num_candidates, rows = len(candidates), candidates.pos_idxs
    labels = torch.full_like(candidates.gt_labels, NEGATIVE)
    labels[rows] = POSITIVE
    labels[candidates.gt_labels < 0] = IGNORED
    places = torch.arange(len(ranked_negatives), device=rows.device)
    is_gt = torch.arange(num_candidates) >= num_candidates - found.num_appended
    is_in_region, weights = candidates.is_in_region, candidates.weights
    columns = {
        "iou": candidates.ious,
        "cls_loss": candidates.require_losses(),
        "score": samples.scores,
        "weight": torch.ones_like(candidates.ious) if weights is None else weights,
        "is_in_region": torch.zeros_like(is_gt) if is_in_region is None else is_in_region,
        **{chosen_by(name): is_chosen for name, is_chosen in chosen.items()},
        **{object_by(name): gt_idxs for name, gt_idxs in objects.items()},
    }
    return {
        "image_id": [str(image["image_id"])] * num_candidates,
        **_corners(_boxes(candidates.boxes, found)),
        "label": labels.cpu().numpy(),
        "is_gt": is_gt.numpy(),
        **{name: _numpy(values) for name, values in columns.items()},
        **{
            name: _with_nulls(values, rows, num_candidates)
            for name, values in _of_positives(samples).items()
        },
        "hierarchical_rank": _with_nulls(
            torch.cat([hierarchical_ranks(found, rows), places]),
            torch.cat([rows, ranked_negatives]),
            num_candidates,
        ),
    }


def assigned_rows(
    image: dict, found: ImageCandidates, objects: Mapping[str, Tensor]
) -> dict[str, object]:
    """Rows of each assigner's objects, for the schema ASSIGNED; see :func:`candidate_rows`."""
    boxes = _boxes(found.targets.gt_boxes.tensor, found)
    num_objects, num_rows = len(boxes), len(boxes) * len(objects)
    counts = [count_by_object(found.candidates, gt_idxs) for gt_idxs in objects.values()]
    return {
        "image_id": [str(image["image_id"])] * num_rows,
        "assigner": np.repeat(list(objects), num_objects),
        "gt_id": np.tile(np.arange(num_objects), len(objects)),
        "area": np.tile((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), len(objects)),
        **{
            column: _numpy(torch.cat([getattr(of_assigner, column) for of_assigner in counts]))
            for column in ("num_positives", "num_ambiguous", "sum_ious")
        },
    }


def hierarchical_ranks(found: ImageCandidates, rows: Tensor) -> Tensor:
    """(P,) int64 IoU-HLR, in image and class, of the positives in (P,) int64 ``rows``."""
    candidates = found.candidates
    return hierarchical_local_rank(
        pred_ious(found, rows), candidates.gt_idxs[rows], candidates.gt_labels[rows]
    )


def pred_ious(found: ImageCandidates, rows: Tensor) -> Tensor:
    """(P,) IoU after regression of the positives in (P,) int64 ``rows`` with their objects."""
    candidates = found.candidates
    pred_boxes = candidates.decode(rows, candidates.gt_labels[rows])
    return paired_iou(pred_boxes, candidates.gt_boxes_of(rows))


def _of_positives(samples: Samples) -> dict[str, Tensor]:
    """Columns of the positives alone, (P,)."""
    rows, positives = samples.pos_idxs, samples.positives
    gt_idxs, ious = samples.gt_idxs[rows], positives.pred_ious
    errors = (positives.pred_deltas - positives.gt_deltas).unbind(dim=1)
    return {
        "class": samples.gt_labels[rows],
        "gt_id": gt_idxs,
        "pred_iou": ious,
        "local_rank": hierarchical_local_rank(ious, gt_idxs, class_idxs=gt_idxs),
        "negatives_above": negatives_above(samples.outputs.scores, samples.gt_labels),
        **{f"error_d{name}": error for name, error in zip("xywh", errors, strict=True)},
    }


def _boxes(boxes: Tensor, found: ImageCandidates) -> np.ndarray:
    """(R, 4) float32 boxes in pixels of the original image."""
    return (boxes.float().cpu().numpy() * np.array(found.scale * 2)).astype(np.float32)


def _corners(boxes: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(BOX, boxes.T, strict=True))


def _numpy(values: Tensor) -> np.ndarray:
    values = values.float() if values.is_floating_point() else values  # numpy has no bfloat16
    return values.cpu().numpy()


def _with_nulls(values: Tensor, rows: Tensor, length: int) -> np.ma.MaskedArray:
    """A column with values in some rows, null in all others."""
    known, rows = _numpy(values), rows.cpu().numpy()
    column = np.ma.masked_all(length, dtype=known.dtype)
    column[rows] = known
    return column
