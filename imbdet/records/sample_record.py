"""What a criterion tells of each sample."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

from torch import Tensor

from imbdet.ops.precision import at_least_float32
from imbdet.structures import Samples
from imbdet.weighting import Weights, hierarchical_local_rank


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleRecord(Samples):
    """The samples of one batch after they paid their losses. All numbers are detached.

    Making one costs nothing: what is not known yet is computed when somebody asks.

    Shape shorthand: M samples, image after image; P positives; K classes.

    Attributes:
        cls_losses: (M,) classification losses, before weights and normalizer; None for a ranking
            loss, which no single sample pays.
        box_losses: (P,) box losses of the positives, before weights and normalizer.
        cls_weights: (M,) factors of the classification losses; None is 1 for all.
        box_weights: (P,) factors of the box losses; None is 1 for all.
        boxes: (M, 4) anchors or proposals, XYXY in pixels of the network's input; None until the
            detector joins them, as it does for a listener only.
    """

    cls_losses: Tensor | None
    box_losses: Tensor
    cls_weights: Tensor | None
    box_weights: Tensor | None
    boxes: Tensor | None = None

    @classmethod
    def of(
        cls,
        samples: Samples,
        *,
        box_losses: Tensor,
        cls_losses: Tensor | None = None,
        weights: Weights | None = None,
    ) -> "SampleRecord":
        """The record of samples that paid these losses."""
        known = {field.name: getattr(samples, field.name) for field in fields(Samples)}
        known["pred_logits"] = samples.pred_logits.detach()
        pred_deltas = samples.positives.pred_deltas.detach()
        known["positives"] = replace(samples.positives, pred_deltas=pred_deltas)
        return cls(
            **known,
            cls_losses=None if cls_losses is None else cls_losses.detach(),
            box_losses=box_losses.detach(),
            cls_weights=None if weights is None else weights.cls.detach(),
            box_weights=None if weights is None else weights.box.detach(),
        )

    @cached_property
    def scores(self) -> Tensor:
        """(M,) in [0, 1]: of the ground-truth class for positives, the highest for all others.

        The background has no score.
        """
        logits, rows = self.pred_logits, self.pos_idxs
        best = logits[:, : self.num_classes].amax(dim=1)
        best[rows] = logits[rows, self.gt_labels[rows]]
        best = at_least_float32(best)
        if logits.shape[1] == self.num_classes:
            return best.sigmoid()
        return (best - at_least_float32(logits).logsumexp(dim=1)).exp()

    @cached_property
    def pred_classes(self) -> Tensor:
        """(M,) int64 in [0, K): the class with the highest score."""
        return self.pred_logits[:, : self.num_classes].argmax(dim=1)

    @cached_property
    def grad_norms(self) -> Tensor:
        """(M,) in [0, 1]: |p - p*| of the entry that :attr:`scores` shows.

        This is the gradient norm by which GHM tells easy samples from hard ones: that of the plain
        cross-entropy with respect to a logit, whatever the loss.
        """
        return self.scores.index_copy(0, self.pos_idxs, 1 - self.scores[self.pos_idxs])

    @cached_property
    def local_ranks(self) -> Tensor:
        """(P,) int64, place among the positives of the same object by IoU after regression."""
        gt_idxs = self.gt_idxs[self.pos_idxs]
        return hierarchical_local_rank(self.positives.pred_ious, gt_idxs, class_idxs=gt_idxs)

    @cached_property
    def hierarchical_ranks(self) -> Tensor:
        """(P,) int64, hierarchical local rank (IoU-HLR) among the positives of the same class."""
        rows = self.pos_idxs
        return hierarchical_local_rank(
            self.positives.pred_ious, self.gt_idxs[rows], class_idxs=self.gt_labels[rows]
        )
