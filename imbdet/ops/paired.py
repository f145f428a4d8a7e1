"""Predictions and their targets, one of each: what every loss of boxes starts from."""

from torch import Tensor

from imbdet.ops.precision import at_least_float32


def paired(predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both, (P, C), in float32 at least.

    Raises:
        ValueError: shapes that differ, which torch would perhaps broadcast, or of other dimensions.
    """
    if predictions.shape != targets.shape or predictions.dim() != 2:
        raise ValueError(
            "predictions and targets must have the same shape (P, C), "
            f"not {tuple(predictions.shape)} and {tuple(targets.shape)}"
        )
    return at_least_float32(predictions), at_least_float32(targets)
