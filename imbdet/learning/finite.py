"""Losses that are not finite, traced to the predictions and samples they come from."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from imbdet.errors import UserError
from imbdet.records import SampleRecord

# Largest number of offending samples in an error.
MAX_SAMPLES = 1000


class NotFiniteError(UserError, FloatingPointError):
    """Losses that are not finite.

    Attributes:
        losses: losses by name.
        samples: columns of the offending samples, (S,) or (S, 4) each, S <= ``MAX_SAMPLES``:
            "image" in the batch, "box" (XYXY, pixels of the network's input), "level" (-1 where it
            is not known), "gt_label", "iou", "cls_loss" (NaN where no sample has one).
    """

    def __init__(
        self, message: str, losses: Mapping[str, float], samples: Mapping[str, Tensor]
    ) -> None:
        super().__init__(message)
        self.losses = losses
        self.samples = samples


def require_finite(
    losses: Mapping[str, Tensor],
    predictions: Mapping[str, Tensor],
    module: str,
    record: SampleRecord,
    iteration: int,
) -> None:
    """Raise NotFiniteError unless all losses are finite.

    Args:
        losses: scalars by name.
        predictions: logits or deltas of any shape by their descriptions, such as "logits of p3".
        module: class of the detector's part, for the message.
        record: record of the samples.
        iteration: iteration of the training, from 0.
    """
    values = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
    if all(map(math.isfinite, values)):
        return
    counts = {name: int((~values.isfinite()).sum()) for name, values in predictions.items()}
    culprits = [
        f"{count:,} of the {predictions[name].numel():,} {name}"
        for name, count in counts.items()
        if count > 0
    ]
    numbers = dict(zip(losses, values, strict=True))
    shown = ", ".join(f"{name} = {number}" for name, number in numbers.items())
    raise NotFiniteError(
        f"The losses of {module} are not finite in iteration {iteration} ({shown}); not finite "
        f"are {' and '.join(culprits) or 'none of its predictions'}. "
        "Lower SOLVER.BASE_LR, warm up longer (SOLVER.WARMUP_ITERS), or clip gradients "
        "(SOLVER.CLIP_GRADIENTS.ENABLED True).",
        numbers,
        _offending(record),
    )


@torch.no_grad()
def _offending(record: SampleRecord) -> dict[str, Tensor]:
    """Samples with a prediction or a loss that is not finite."""
    samples, candidates = record.samples, record.samples.candidates
    cls_losses = record.cls_losses
    if cls_losses is None:
        cls_losses = torch.full_like(candidates.ious, torch.nan)
    is_bad = ~samples.pred_logits.isfinite().all(dim=1)
    if record.cls_losses is not None:
        is_bad |= ~cls_losses.isfinite()
    box_is_bad = ~(record.box_losses + samples.positives.pred_deltas.sum(dim=1)).isfinite()
    is_bad[samples.pos_idxs[box_is_bad]] = True
    rows = is_bad.nonzero().squeeze(1)[:MAX_SAMPLES]
    levels = candidates.levels_of(rows)
    columns = {
        "image": candidates.image_idxs[rows],
        "box": candidates.boxes_of(rows),
        "level": torch.full_like(rows, -1) if levels is None else levels.idxs,
        "gt_label": candidates.gt_labels[rows],
        "iou": candidates.ious[rows],
        "cls_loss": cls_losses[rows],
    }
    return {name: values.cpu() for name, values in columns.items()}
