"""Entries of a classification: one for each candidate that is not ignored, and each class."""

from torch import Tensor


def valid_entries(scores: Tensor, gt_labels: Tensor) -> tuple[Tensor, Tensor]:
    """The scores and labels of the candidates that are not ignored.

    Args:
        scores: (M, K) scores of the classes.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.

    Returns:
        (V, K) float64 scores and (V,) int64 labels.
    """
    is_valid = gt_labels >= 0
    return scores[is_valid].double(), gt_labels[is_valid]
