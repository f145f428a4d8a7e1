"""Losses together with their arguments: the two terms of a criterion."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from imbdet.losses.draws import Draws
from imbdet.structures import Levels, Positives, Samples
from imbdet.structures.classifiers import SIGMOID, Classifier


class SampleLoss(nn.Module):
    """A classification loss of each sample by itself."""

    def __init__(
        self,
        loss: Callable[..., Tensor],
        *,
        classifier: Classifier = SIGMOID,
        uses_quality: bool = False,
        is_normalized: bool = False,
        takes: Sequence[str] = (),
        by_level: bool = False,
    ):
        """Wrap a loss.

        Args:
            loss: function of (M, C) logits and (M,) labels that returns (M,) losses.
            classifier: meaning of the logits.
            uses_quality: whether it takes a third argument, the (P,) qualities of the positives:
                :attr:`imbdet.structures.Samples.pos_quality`.
            is_normalized: whether its losses are summed up without a normalizer.
            takes: names of its keywords: "group", the processes whose samples it counts; "weights"
                (M,), by which it counts samples and multiplies their losses; "gt_idxs" (M,), the
                objects of the positives; "normalizer", the divisor of the sum of its losses;
                "generator", the source of the batch's random numbers.
            by_level: whether it takes the keyword ``levels``, the rows of each level of the feature
                pyramid, which proposals do not have.
        """
        super().__init__()
        self.loss = loss
        self.classifier = classifier
        self.uses_quality = uses_quality
        self.is_normalized = is_normalized
        self.takes = takes
        self.draws = Draws() if "generator" in takes else None
        self.by_level = by_level

    def forward(
        self,
        samples: Samples,
        group: ProcessGroup | None = None,
        normalizer: float | Tensor = 1.0,
    ) -> Tensor:
        """(M,) losses, before weights and normalizer."""
        quality = (samples.pos_quality,) if self.uses_quality else ()
        options: dict[str, Any] = {
            "group": group,
            "normalizer": normalizer,
            "weights": samples.weights,
            "gt_idxs": samples.gt_idxs,
        }
        options = {name: value for name, value in options.items() if name in self.takes}
        if self.draws is not None:
            options["generator"] = self.draws.next(samples.gt_labels.device, group)
        if self.by_level:
            options["levels"] = _require(samples.candidates.levels).rows()
        losses = self.loss(samples.pred_logits, samples.gt_labels, *quality, **options)
        return _before_weights(losses, options.get("weights"))


class BoxLoss(nn.Module):
    """A box regression loss of the positives."""

    def __init__(
        self,
        loss: Callable[..., Tensor],
        *,
        compares: str = "deltas",
        is_normalized: bool = False,
        takes: Sequence[str] = (),
        by_level: bool = False,
    ):
        """Wrap a loss.

        Args:
            loss: function of (P, 4) predictions and (P, 4) targets that returns (P,) losses.
            compares: "deltas", or "boxes" for the decoded predictions and the ground truth.
            is_normalized: see :class:`SampleLoss`.
            takes: "group" and "weights", see :class:`SampleLoss`.
            by_level: see :class:`SampleLoss`.
        """
        super().__init__()
        self.loss = loss
        self.compares = compares
        self.is_normalized = is_normalized
        self.takes = takes
        self.by_level = by_level

    def forward(self, positives: Positives, group: ProcessGroup | None = None) -> Tensor:
        """(P,) losses, before weights and normalizer."""
        options: dict[str, Any] = {"group": group, "weights": positives.weights}
        options = {name: value for name, value in options.items() if name in self.takes}
        if self.by_level:
            options["levels"] = _require(positives.levels).rows()
        if self.compares == "deltas":
            losses = self.loss(positives.pred_deltas, positives.gt_deltas, **options)
        else:
            losses = self.loss(positives.pred_boxes, positives.gt_boxes, **options)
        return _before_weights(losses, options.get("weights"))


def _before_weights(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Divide losses by the weights in them, since a criterion weights all losses alike."""
    return losses if weights is None else losses / weights.where(weights > 0, 1)


def _require(levels: Levels | None) -> Levels:
    if levels is None:
        raise ValueError("a loss of each level needs anchors: proposals belong to no level")
    return levels
