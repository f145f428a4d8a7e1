"""Cross-entropy with weights of the classes, which losses for long tails share."""

from torch import Tensor
from torch.nn import functional as F

from imbdet.ops.labels import positive_entries
from imbdet.ops.precision import at_least_float32


def used_logits(pred_logits: Tensor, gt_labels: Tensor) -> Tensor:
    """The (M, C) logits, float32 at least, with 0 in ignored rows.

    There NaN or infinite logits would make the gradient NaN, although the row has no loss.
    """
    return at_least_float32(pred_logits).masked_fill((gt_labels < 0)[:, None], 0)


def weighted_sigmoid_cross_entropy(
    pred_logits: Tensor, gt_labels: Tensor, pos_weights: Tensor, neg_weights: Tensor
) -> Tensor:
    """Binary cross-entropy of each column's sigmoid, weighted and summed over the columns.

    Args:
        pred_logits: (M, C) logits.
        gt_labels: (M,) int64, the column of a row's positive entry, C for none, -1 ignored.
        pos_weights: (C,) factors of positive entries.
        neg_weights: (C,) or (M, C) factors of negative entries.

    Returns:
        (M,) losses, 0 for ignored samples.
    """
    logits = used_logits(pred_logits, gt_labels)
    rows, classes = positive_entries(gt_labels, logits.shape[1])
    losses = F.softplus(logits) * neg_weights.to(logits.dtype)
    pos_losses = F.softplus(-logits[rows, classes]) * pos_weights.to(logits.dtype)[classes]
    return losses.index_put((rows, classes), pos_losses).sum(dim=1).masked_fill(gt_labels < 0, 0)


def check_class_numbers(name: str, numbers: Tensor, count: int) -> None:
    """Raise ValueError unless there is a number for each of ``count`` classes, none below 0."""
    if numbers.shape != (count,):
        raise ValueError(f"{name} must have the shape ({count},), not {tuple(numbers.shape)}")
    if not bool((numbers >= 0).all()):
        raise ValueError(f"{name} must be 0 or more for every class")


def check_columns(pred_logits: Tensor, count: int) -> None:
    """Raise ValueError unless a matrix of logits has ``count`` columns."""
    if pred_logits.shape[1] != count:
        raise ValueError(f"pred_logits must have {count} columns, not {pred_logits.shape[1]}")
