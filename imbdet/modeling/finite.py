"""Losses that are not finite, traced to the predictions and samples they come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.errors import UserError
from imbdet.records import SampleRecord

# How many offending samples are told of.
MAX_SAMPLES = 1000


class NotFiniteError(UserError, FloatingPointError):
    """Losses that are not finite.

    Attributes:
        losses: by name.
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
    locate: Callable[[], dict[str, Tensor]],
) -> None:
    """Raise NotFiniteError unless all losses are finite.

    Args:
        losses: scalars by name.
        predictions: logits or deltas of any shape by what they are, such as "logits of p3".
        module: whose they are.
        record: of the samples.
        locate: gives their "boxes".
    """
    if torch.stack([loss.detach().float() for loss in losses.values()]).isfinite().all():
        return
    counts = {name: int((~values.isfinite()).sum()) for name, values in predictions.items()}
    culprits = [
        f"{count:,} of the {predictions[name].numel():,} {name}"
        for name, count in counts.items()
        if count > 0
    ]
    numbers = {name: loss.item() for name, loss in losses.items()}
    values = ", ".join(f"{name} = {number}" for name, number in numbers.items())
    raise NotFiniteError(
        f"The losses of {module} are not finite in iteration {get_event_storage().iter} "
        f"({values}); not finite are {' and '.join(culprits) or 'none of its predictions'}. "
        "Lower SOLVER.BASE_LR, warm up longer (SOLVER.WARMUP_ITERS), or clip gradients "
        "(SOLVER.CLIP_GRADIENTS.ENABLED True).",
        numbers,
        _offending(replace(record, **locate())),
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


@torch.no_grad()
def _offending(record: SampleRecord) -> dict[str, Tensor]:
    """Samples with a prediction or a loss that is not finite."""
    cls_losses = record.cls_losses
    if cls_losses is None:
        cls_losses = torch.full_like(record.ious, torch.nan)
    is_bad = ~record.pred_logits.isfinite().all(dim=1)
    if record.cls_losses is not None:
        is_bad |= ~cls_losses.isfinite()
    box_is_bad = ~(record.box_losses + record.positives.pred_deltas.sum(dim=1)).isfinite()
    is_bad[record.pos_idxs[box_is_bad]] = True
    rows = is_bad.nonzero().squeeze(1)[:MAX_SAMPLES]
    levels = record.levels
    columns = {
        "image": record.image_idxs,
        "box": record.boxes,
        "level": torch.full_like(record.gt_labels, -1) if levels is None else levels.idxs,
        "gt_label": record.gt_labels,
        "iou": record.ious,
        "cls_loss": cls_losses,
    }
    return {name: values[rows].cpu() for name, values in columns.items()}
