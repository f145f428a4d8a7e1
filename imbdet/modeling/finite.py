"""Losses that are not finite, traced to the predictions they come from."""

from collections.abc import Mapping, Sequence

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.errors import UserError


def require_finite(
    losses: Mapping[str, Tensor], predictions: Mapping[str, Tensor], module: str
) -> None:
    """Raise UserError unless all losses are finite.

    Args:
        losses: scalars by name.
        predictions: logits or deltas of any shape by what they are, such as "logits of p3".
        module: whose they are.
    """
    if torch.stack([loss.detach().float() for loss in losses.values()]).isfinite().all():
        return
    counts = {name: int((~values.isfinite()).sum()) for name, values in predictions.items()}
    culprits = [
        f"{count:,} of the {predictions[name].numel():,} {name}"
        for name, count in counts.items()
        if count > 0
    ]
    values = ", ".join(f"{name} = {loss.item()}" for name, loss in losses.items())
    raise UserError(
        f"The losses of {module} are not finite in iteration {get_event_storage().iter} "
        f"({values}); not finite are {' and '.join(culprits) or 'none of its predictions'}. "
        "Lower SOLVER.BASE_LR, warm up longer (SOLVER.WARMUP_ITERS), or clip gradients "
        "(SOLVER.CLIP_GRADIENTS.ENABLED True)."
    )


def predictions_by_level(
    levels: Sequence[str], pred_logits: Sequence[Tensor], pred_deltas: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Name the predictions of a dense head after the levels of its feature pyramid."""
    return {
        f"{kind} of {level}": values
        for kind, per_level in (("logits", pred_logits), ("box deltas", pred_deltas))
        for level, values in zip(levels, per_level, strict=True)
    }
