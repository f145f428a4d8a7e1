"""aLRP: classification and localisation in one ranking, balanced by their running values.

Oksuz et al., "A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in
Object Detection", NeurIPS 2020, https://arxiv.org/abs/2009.13592
"""

from typing import Annotated, Any

import torch
from torch import Tensor

from imbdet.learning.criteria.criterion import Criterion
from imbdet.losses import alrp_loss
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Momentum, NonNegative, Range
from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.records import SampleRecord
from imbdet.structures import Samples

# The weight of the localisation part in the beginning, as published.
INITIAL_BALANCE = 50.0


@CLS_LOSSES.register(
    "alrp",
    "aLRP loss, with its own use of the box loss.",
    "Oksuz et al., NeurIPS 2020, https://arxiv.org/abs/2009.13592",
    ranks=True,
    is_criterion=True,
    box_loss="giou",
)
class ALRPCriterion(KeepsMissingBuffers, Criterion):
    """aLRP loss, whose two parts depend on each other.

    The localisation part is multiplied by (classification + localisation) / localisation (self-
    balancing, sec. 4.3). The article starts at ``INITIAL_BALANCE`` and takes both from the epoch
    before. Here they are running means, whose initial values have that proportion and the size of
    the first batch's localisation part, so that they decay by the momentum, however small the parts
    are.
    """

    def __init__(
        self,
        *,
        delta: NonNegative = 1.0,
        tau: Annotated[float, Range(0, 1, below=True)] = 0.5,
        momentum: Momentum = 0.999,
        smooth_localisation: bool = True,
        **shared: Any,
    ):
        """Start without running means.

        Args:
            delta: half the width of the step, in logits; 0 is the hard step.
            tau: IoU from which an anchor or proposal is a positive; the localisation error is
                (1 - GIoU) / (2 (1 - tau)).
            momentum: weight of the past in the running means of the two parts.
            smooth_localisation: whether the positives above are summed by the smooth step, as the
                definition has it, or by the hard order of the scores, as the published code does.
            shared: see :class:`Criterion`; the box loss is 1 - GIoU.
        """
        super().__init__(**shared)
        self.delta = delta
        self.tau = tau
        self.momentum = momentum
        self.smooth_localisation = smooth_localisation
        # Classification and localisation part; 0 before the first batch with positives.
        self.running_parts: Tensor
        self.register_buffer("running_parts", torch.zeros(2))

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Rank the entries; ``normalizer`` is not needed.

        Returns:
            Scalars "loss_cls" and "loss_box_reg", connected to the predictions even if there is no
            positive; and the samples' record.
        """
        box_losses = self.box_loss(samples.positives, self.group)
        cls_part, box_part = alrp_loss(
            samples.pred_logits,
            samples.gt_labels,
            box_losses / (2 * (1 - self.tau)),
            delta=self.delta,
            smooth_localisation=self.smooth_localisation,
            **self.ranking_arguments(samples),
        )
        if self.training and self.count(len(box_losses), box_losses.device) > 0:
            self._update(cls_part, box_part)
        losses = {"loss_cls": cls_part, "loss_box_reg": self.balance * box_part}
        return losses, SampleRecord.of(samples, box_losses=box_losses)

    @property
    def balance(self) -> Tensor:
        """Scalar weight of the localisation part, >= 1."""
        cls_part, box_part = self.running_parts
        balance: Tensor = (cls_part + box_part) / box_part.clamp(
            min=torch.finfo(box_part.dtype).eps
        )
        balance = balance.where(box_part > 0, INITIAL_BALANCE)
        return balance

    def _update(self, cls_part: Tensor, box_part: Tensor) -> None:
        parts = torch.stack([cls_part.detach().float(), box_part.detach().float()])
        start = torch.stack([(INITIAL_BALANCE - 1) * parts[1], parts[1]])
        past = self.running_parts.where(self.running_parts[1] > 0, start)
        # A new tensor: graphs of earlier batches may still hold the old one.
        self.running_parts = self.momentum * past + (1 - self.momentum) * parts
