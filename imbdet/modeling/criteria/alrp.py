"""aLRP: classification and localisation in one ranking, balanced by their running values.

Oksuz et al., "A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in
Object Detection", NeurIPS 2020, https://arxiv.org/abs/2009.13592
"""

import torch
from torch import Tensor, nn

from imbdet.buffers import KeepsMissingBuffers
from imbdet.losses import alrp_loss
from imbdet.modeling.criteria.scope import scope_arguments
from imbdet.modeling.criteria.terms import BoxLoss
from imbdet.records import SampleRecord
from imbdet.structures import Samples

# The first weight of the localisation part, as published.
INITIAL_BALANCE = 50.0


class ALRPCriterion(KeepsMissingBuffers, nn.Module):
    """aLRP loss, whose two parts depend on each other.

    The localisation part is multiplied by (classification + localisation) / localisation (self-
    balancing, sec. 4.3). The article averages both over an epoch; here they are running means.
    """

    def __init__(
        self,
        *,
        box_loss: BoxLoss,
        delta: float,
        tau: float,
        momentum: float,
        smooth_localisation: bool,
        scope: str = "batch",
    ):
        """Put the loss and its companion together.

        Args:
            box_loss: the loss 1 - GIoU.
            delta: half the width of the step.
            tau: IoU in [0, 1) from which an anchor or proposal is a positive; the localisation
                error is (1 - GIoU) / (2 (1 - tau)).
            momentum: weight of the past in the running means, in [0, 1).
            smooth_localisation: see :func:`imbdet.losses.alrp_loss`.
            scope: see :func:`scope_arguments`.

        Raises:
            ValueError: tau or momentum out of range.
        """
        super().__init__()
        if not 0 <= tau < 1 or not 0 <= momentum < 1:
            raise ValueError(
                f"aLRP loss needs tau and momentum in [0, 1), not {tau} and {momentum}"
            )
        self.box_loss = box_loss
        self.delta = delta
        self.tau = tau
        self.momentum = momentum
        self.smooth_localisation = smooth_localisation
        self.scope = scope
        # Classification and localisation part.
        self.register_buffer("running_parts", torch.tensor([INITIAL_BALANCE - 1, 1.0]))

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Rank the entries; ``normalizer`` is not needed.

        Returns:
            Scalars "loss_cls" and "loss_box_reg", connected to the predictions even if there is no
            positive; and the samples' record.
        """
        box_losses = self.box_loss(samples.positives)
        cls_part, box_part = alrp_loss(
            samples.pred_logits,
            samples.gt_labels,
            box_losses / (2 * (1 - self.tau)),
            delta=self.delta,
            smooth_localisation=self.smooth_localisation,
            **scope_arguments(self.scope, samples),
        )
        if len(box_losses) > 0:
            self._update(cls_part, box_part)
        losses = {"loss_cls": cls_part, "loss_box_reg": self.balance * box_part}
        return losses, SampleRecord.of(samples, box_losses=box_losses)

    @property
    def balance(self) -> Tensor:
        """Scalar weight of the localisation part, >= 1."""
        cls_part, box_part = self.running_parts
        return (cls_part + box_part) / box_part.clamp(min=torch.finfo(box_part.dtype).eps)

    def _update(self, cls_part: Tensor, box_part: Tensor) -> None:
        # A new tensor: graphs of earlier batches may still hold the old one.
        parts = torch.stack([cls_part.detach().float(), box_part.detach().float()])
        self.running_parts = self.momentum * self.running_parts + (1 - self.momentum) * parts
