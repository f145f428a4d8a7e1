"""The base of all criteria: a box loss, and the scope of the samples that belong together."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

from imbdet.learning.criteria.positive_terms import DistributionLoss, QualityLoss
from imbdet.learning.criteria.terms import BoxLoss, SampleLoss
from imbdet.learning.normalizers import unit_weight
from imbdet.learning.qualities import Quality
from imbdet.ops import exchange
from imbdet.structures import Samples
from imbdet.structures.classifiers import SIGMOID, Classifier
from imbdet.weighting import times

SCOPES = ("batch", "image", "global")
N = TypeVar("N", int, float)


def all_processes() -> ProcessGroup | None:
    """The processes of the training, if there are several."""
    if not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.group.WORLD if distributed.get_world_size() > 1 else None


def share_non_finite(
    losses: Mapping[str, Tensor], predictions: Iterable[Tensor]
) -> dict[str, Tensor]:
    """The losses, but NaN if a loss or a prediction is not finite in any of the processes."""
    values = sum(x.sum(dtype=torch.float64) for x in (*predictions, *losses.values()))
    total = exchange.total(torch.as_tensor(values), all_processes())
    return {name: loss + (0 * total).to(loss.dtype) for name, loss in losses.items()}


class Criterion(nn.Module):
    """Computes the losses of samples.

    Attributes:
        has_sample_losses: whether samples have classification losses, :meth:`sample_losses`.
        classifier: meaning of the logits.

    Several processes average their losses: DistributedDataParallel the gradients, detectron2's log
    the values. In global scope the averages are those of one process with all the samples.
    """

    has_sample_losses = False
    classifier: Classifier = SIGMOID

    def __init__(
        self,
        *,
        box_loss: BoxLoss,
        scope: str = "batch",
        box_quality: Quality | None = None,
        distribution_loss: DistributionLoss | None = None,
        quality_loss: QualityLoss | None = None,
    ):
        """Set the losses of positives, and the samples that belong together.

        Args:
            box_loss: box loss of each positive.
            box_quality: factors of the losses of boxes and distributions, whose sum takes the place
                of the normalizer; None is factors of 1, and the normalizer.
            distribution_loss: loss of the distances to the sides, or None.
            quality_loss: loss of a quality branch, or None.
            scope: samples of rankings, sums and counts: "batch", those of this process; "image",
                those of this process, with a ranking of each image; "global", those of all
                processes.
        """
        super().__init__()
        self.box_loss = box_loss
        self.scope = scope
        self.box_quality = box_quality
        self.distribution_loss = distribution_loss
        self.quality_loss = quality_loss

    @property
    def group(self) -> ProcessGroup | None:
        """The processes whose samples belong together; None is this one alone.

        In evaluation mode it is None, as the other processes may not evaluate.
        """
        return all_processes() if self.scope == "global" and self.training else None

    @property
    def num_processes(self) -> int:
        """Factor of sums over this process's samples, since processes average their losses."""
        return exchange.num_processes(self.group)

    def total(self, values: Tensor) -> Tensor:
        """Values of any shape, added up over the processes of the scope; detached."""
        return exchange.total(values, self.group)

    def count(self, number: N, device: torch.device) -> N:
        """A number of samples or images, or a sum over them, added up over the scope's processes.

        Args:
            number: number of this process.
            device: device on which the processes exchange it.
        """
        if self.group is None:
            return number
        return type(number)(self.total(torch.tensor(number, device=device)))

    def sample_losses(self, samples: Samples) -> Tensor:
        """(M,) classification losses of samples, without gradient.

        Raises:
            NotImplementedError: ``has_sample_losses`` is False.
        """
        raise NotImplementedError

    def reduced(
        self, losses: Tensor, term: SampleLoss | BoxLoss, normalizer: float | Tensor
    ) -> Tensor:
        """Sum of the (weighted) losses of a term, divided by the normalizer if it needs one."""
        loss = losses.sum()
        if self.group is not None:
            loss = self.num_processes * loss
        return loss if term.is_normalized else loss / normalizer

    def positive_losses(
        self,
        samples: Samples,
        normalizer: float | Tensor,
        box_losses: Tensor,
        weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The losses of the positives.

        Args:
            samples: all samples.
            normalizer: divisor of the losses.
            box_losses: (P,) results of ``box_loss``.
            weights: (P,) factors of the losses of boxes and distributions beside the weights of the
                samples, or None.

        Returns:
            Scalars "loss_box_reg" and, with the other losses, "loss_dfl" and "loss_quality".
        """
        divisor, quality, own = normalizer, None, samples.pos_weights
        if self.box_quality is not None:
            quality = self.box_quality(samples)
            divisor = self._sum_of(quality, samples)
        box_losses = times(box_losses, own, weights, quality)
        losses = {"loss_box_reg": self.reduced(box_losses, self.box_loss, divisor)}
        if self.distribution_loss is not None:
            side_losses = times(self.distribution_loss(samples), own, weights, quality)
            losses["loss_dfl"] = self.num_processes * side_losses.sum() / divisor
        if self.quality_loss is not None:
            quality_losses = times(self.quality_loss(samples), own)
            losses["loss_quality"] = self.num_processes * quality_losses.sum() / normalizer
        return losses

    def _sum_of(self, quality: Tensor, samples: Samples) -> Tensor:
        """Sum of the qualities of all positives, (P,), weighted, at least that of one sample."""
        least = unit_weight(samples.candidates, lambda number: self.count(number, quality.device))
        return self.total(times(quality, samples.pos_weights).sum()).clamp(min=least)

    def ranking_arguments(self, samples: Samples) -> dict[str, Any]:
        """Arguments of a ranking loss beside logits and labels.

        They are the ``image_idxs`` or the ``group`` of the scope, and ``weights`` if there are any.
        """
        arguments: dict[str, Any] = {}
        if samples.weights is not None:
            arguments["weights"] = samples.weights
        if self.scope == "image":
            arguments["image_idxs"] = samples.image_idxs
        elif self.scope == "global":
            arguments["group"] = self.group
        return arguments
