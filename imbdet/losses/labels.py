"""The sparse view of labels: a positive is a (row, class) pair, no one-hot target is ever built."""

from torch import Tensor


def positive_entries(gt_labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Rows and classes of the positive entries of an (M, K) matrix of logits.

    Args:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        num_classes: K.

    Returns:
        (P,) rows in ascending order and (P,) classes, both int64.
    """
    rows = ((gt_labels >= 0) & (gt_labels < num_classes)).nonzero().squeeze(1)
    return rows, gt_labels[rows]


def check_labels(pred_logits: Tensor, gt_labels: Tensor, num_columns: int) -> None:
    """Raise ValueError unless logits are (M, ``num_columns``) and labels are (M,)."""
    if pred_logits.dim() != 2 or pred_logits.shape[1] != num_columns:
        raise ValueError(
            f"pred_logits must have the shape (M, {num_columns}), not {tuple(pred_logits.shape)}"
        )
    if gt_labels.shape != pred_logits.shape[:1]:
        raise ValueError(
            f"gt_labels must have the shape ({len(pred_logits)},), not {tuple(gt_labels.shape)}"
        )
