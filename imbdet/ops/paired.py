"""Pairs of predictions and targets, with which every box loss starts."""

from torch import Tensor

from imbdet.ops.precision import at_least_float32


def paired(predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions and targets, (P, C), in float32 at least.

    Raises:
        ValueError: the shapes differ, which torch might broadcast, or are not (P, C).
    """
    if predictions.shape != targets.shape or predictions.dim() != 2:
        raise ValueError(
            "predictions and targets must have the same shape (P, C), "
            f"not {tuple(predictions.shape)} and {tuple(targets.shape)}"
        )
    return at_least_float32(predictions), at_least_float32(targets)
