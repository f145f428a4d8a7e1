"""Weighting and reducing the losses of samples."""

from torch import Tensor


def reduce_losses(losses: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    """Weight and reduce losses.

    Args:
        losses: (M,) loss of each sample.
        weights: (M,) factors, or None.
        reduction: "none" leaves (M,), "sum" gives a scalar. Dividing is left to the caller.

    Raises:
        ValueError: unknown reduction, or weights that do not fit.
    """
    if weights is not None:
        if weights.shape != losses.shape:
            raise ValueError(
                f"weights must have the shape {tuple(losses.shape)}, not {tuple(weights.shape)}"
            )
        losses = losses * weights
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction must be 'none' or 'sum', not {reduction!r}")
