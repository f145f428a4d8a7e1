"""Losses of positives beside the box loss: of a quality branch and of distributions of sides."""

from torch import Tensor, nn
from torch.nn import functional as F

from imbdet.learning.qualities import Quality
from imbdet.losses import distribution_focal_loss
from imbdet.ops.precision import at_least_float32
from imbdet.structures import Samples


class QualityLoss(nn.Module):
    """Cross-entropy of a predicted quality (Tian et al., ICCV 2019, sec. 3.4)."""

    def __init__(self, quality: Quality, *, weight: float = 1.0):
        """Set the targets.

        Args:
            quality: function that returns (P,) targets in [0, 1].
            weight: factor of the loss.
        """
        super().__init__()
        self.quality = quality
        self.weight = weight

    def forward(self, samples: Samples) -> Tensor:
        """(P,) losses."""
        logits = _require(samples.outputs.quality_logits, "quality_logits")[samples.pos_idxs]
        logits = at_least_float32(logits)
        targets = self.quality(samples).to(logits.dtype)
        return self.weight * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class DistributionLoss(nn.Module):
    """Distribution focal loss of the distances to the sides; see its function for the source."""

    # Targets stay this far below the last bin, as published: each lies between two bins.
    MARGIN = 0.1

    def __init__(self, *, weight: float = 0.25):
        """Set the factor of the loss."""
        super().__init__()
        self.weight = weight

    def forward(self, samples: Samples) -> Tensor:
        """(P,) means over the four sides."""
        side_logits = _require(samples.outputs.side_logits, "side_logits")[samples.pos_idxs]
        targets = samples.positives.gt_deltas.clamp(0, side_logits.shape[-1] - 1 - self.MARGIN)
        losses = distribution_focal_loss(side_logits.flatten(0, 1), targets.flatten())
        of_sides: Tensor = losses.unflatten(0, (-1, 4))
        return self.weight * of_sides.mean(dim=1)


def _require(logits: Tensor | None, name: str) -> Tensor:
    if logits is None:
        raise ValueError(f"this loss needs {name}, which the outputs lack")
    return logits
