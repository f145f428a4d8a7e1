"""The sparse view of labels: a positive is a (row, class) pair, no one-hot target is ever built."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.ops.masks import true_idxs


def positive_entries(gt_labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Rows and classes of the positive entries of an (M, K) matrix of logits.

    Args:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        num_classes: K.

    Returns:
        (P,) rows in ascending order and (P,) classes, both int64.
    """
    rows = true_idxs(has_positive(gt_labels, num_classes))
    return rows, gt_labels[rows]


def has_positive(gt_labels: Tensor, num_classes: int) -> Tensor:
    """(M,) bool, whether each row has a positive entry."""
    return (gt_labels >= 0) & (gt_labels < num_classes)


def check_labels(
    pred_logits: Tensor, gt_labels: Tensor, num_classes: int | None = None, *asked: Tensor
) -> list[int]:
    """Raise ValueError unless logits are a matrix and there is a label for each row.

    Args:
        pred_logits: any tensor; valid is (M, C).
        gt_labels: any tensor; valid is (M,) int64 in [-1, K].
        num_classes: K; None is the number of columns.
        asked: int64 scalars to read as well, so that a GPU is waited for once.

    Returns:
        The lowest label, and the values of ``asked``.
    """
    if pred_logits.dim() != 2:
        raise ValueError(f"pred_logits must have the shape (M, K), not {tuple(pred_logits.shape)}")
    if gt_labels.shape != pred_logits.shape[:1]:
        raise ValueError(
            f"gt_labels must have the shape ({len(pred_logits)},), not {tuple(gt_labels.shape)}"
        )
    if gt_labels.dtype != torch.int64:  # torch takes bool and uint8 for masks, not for indices
        raise ValueError(f"gt_labels must be int64, not {gt_labels.dtype}")
    if num_classes is None:
        num_classes = pred_logits.shape[1]
    extremes = gt_labels.aminmax() if len(gt_labels) > 0 else gt_labels.new_zeros(2)
    lowest, highest, *numbers = torch.stack([*extremes, *asked]).tolist()  # cheaper than masks
    if lowest < -1 or highest > num_classes:
        strays = gt_labels[(gt_labels < -1) | (gt_labels > num_classes)]
        raise ValueError(
            f"gt_labels must lie in [-1, {num_classes}], {num_classes} being the background; "
            f"{len(strays):,} do not, such as {int(strays[0])}"
        )
    return [lowest, *numbers]


class LabelledRows(NamedTuple):
    """The rows of a matrix of logits, by their labels and weights.

    Attributes:
        gt_labels: (M,) int64, -1 also in rows of weight 0.
        has_ignored: whether any label is -1.
        pos_entries: (P,) rows and (P,) classes of the positive entries.
        kept: (P,) int64, their indices among the positives with and without weight; None if all.
        num_labelled: number of the positives with and without weight.
    """

    gt_labels: Tensor
    has_ignored: bool
    pos_entries: tuple[Tensor, Tensor]
    kept: Tensor | None
    num_labelled: int


def labelled_rows(pred_logits: Tensor, gt_labels: Tensor, weights: Tensor | None) -> LabelledRows:
    """Check labels and weights, and find the positives; a GPU is waited for once for each check.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        weights: (M,) weights of the rows, or None for ones.

    Raises:
        ValueError: see :func:`check_labels` and :func:`check_weights`.
    """
    is_positive = has_positive(gt_labels, pred_logits.shape[-1])
    lowest, count = check_labels(pred_logits, gt_labels, None, is_positive.count_nonzero())
    rows = true_idxs(is_positive, count)
    pos_entries = rows, gt_labels[rows]
    if weights is None:
        return LabelledRows(gt_labels, lowest < 0, pos_entries, None, count)
    check_shape_of_weights(weights, len(gt_labels))
    is_kept = weights[rows] > 0
    num_kept, num_without = check_weights(
        weights, len(gt_labels), is_kept.count_nonzero(), (weights == 0).count_nonzero()
    )
    kept = true_idxs(is_kept, num_kept)
    return LabelledRows(
        gt_labels.masked_fill(weights == 0, -1),
        lowest < 0 or num_without > 0,
        (pos_entries[0][kept], pos_entries[1][kept]),
        kept,
        count,
    )


def weighted_labels(gt_labels: Tensor, weights: Tensor | None) -> Tensor:
    """Labels (M,) with -1 for samples of weight 0, which thus count as ignored.

    Args:
        gt_labels: (M,) labels, -1 ignored.
        weights: (M,) weights of the samples, or None for ones.

    Raises:
        ValueError: the shapes differ, or a weight is negative or not finite.
    """
    if weights is None:
        return gt_labels
    check_weights(weights, len(gt_labels))
    return gt_labels.masked_fill(weights == 0, -1)


def check_weights(weights: Tensor, count: int, *asked: Tensor) -> list[int]:
    """Raise ValueError unless there is a weight for each of ``count`` samples, finite and >= 0.

    Returns:
        The values of the int64 scalars ``asked``, so that a GPU is waited for once.
    """
    check_shape_of_weights(weights, count)
    is_valid = ((weights >= 0) & weights.isfinite()).all()
    valid, *numbers = torch.stack([is_valid.long(), *asked]).tolist()
    if not valid:
        raise ValueError("weights must be finite and not negative")
    return numbers


def check_shape_of_weights(weights: Tensor, count: int) -> None:
    """Raise ValueError unless there is a weight for each of ``count`` samples."""
    if weights.shape != (count,):
        raise ValueError(f"weights must have the shape ({count},), not {tuple(weights.shape)}")


def rank_segments(
    gt_labels: Tensor, image_idxs: Tensor | None, group: ProcessGroup | None
) -> tuple[Tensor, int]:
    """(M,) int64 in [0, G), the ranking to which each row belongs, and their number G >= 1.

    Args:
        gt_labels: (M,) labels.
        image_idxs: (M,) int64, the image of each row; None is one ranking of all rows.
        group: processes whose rows are ranked together; None is this process alone.

    Raises:
        ValueError: the shapes differ, or each image is to be ranked over several processes.
    """
    if image_idxs is None:
        return gt_labels.new_zeros(()).expand_as(gt_labels), 1
    if image_idxs.shape != gt_labels.shape:
        expected, given = tuple(gt_labels.shape), tuple(image_idxs.shape)
        raise ValueError(f"image_idxs must have the shape {expected}, not {given}")
    if group is not None:
        raise ValueError(
            "the ranking of an image has no rows in other processes: group must be None"
        )
    images, segments = image_idxs.unique(return_inverse=True)
    return segments, max(len(images), 1)
