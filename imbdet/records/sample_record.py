"""What a criterion reports about each sample."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from imbdet.ops.local_rank import hierarchical_local_rank
from imbdet.structures import Samples
from imbdet.weighting import Weights


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleRecord:
    """The samples of one batch with their losses. All numbers are detached.

    Making one costs nothing: derived quantities are computed on first access.

    Shape shorthand: M samples, image after image; P positives; K classes.

    Attributes:
        samples: the samples, detached.
        cls_losses: (M,) classification losses, before weights and normalizer; None for a ranking
            loss, which is not a sum over samples.
        box_losses: (P,) box losses of the positives, before weights and normalizer.
        cls_weights: (M,) factors of the classification losses beside the weights of the samples,
            which come from the data; None is 1 for all.
        box_weights: (P,) factors of the box losses, in the same way.
    """

    samples: Samples
    cls_losses: Tensor | None
    box_losses: Tensor
    cls_weights: Tensor | None
    box_weights: Tensor | None

    @classmethod
    def of(
        cls,
        samples: Samples,
        *,
        box_losses: Tensor,
        cls_losses: Tensor | None = None,
        weights: Weights | None = None,
    ) -> "SampleRecord":
        """The record of samples with these losses."""
        return cls(
            samples=Samples(samples.candidates, samples.outputs.detach()),
            cls_losses=None if cls_losses is None else cls_losses.detach(),
            box_losses=box_losses.detach(),
            cls_weights=None if weights is None else weights.cls.detach(),
            box_weights=None if weights is None else weights.box.detach(),
        )

    @property
    def scores(self) -> Tensor:
        """See :attr:`Samples.scores`."""
        return self.samples.scores

    @cached_property
    def pred_classes(self) -> Tensor:
        """(M,) int64 in [0, K): the class with the highest score."""
        return self.samples.outputs.classifier.best_classes(self.samples.pred_logits)

    @cached_property
    def grad_norms(self) -> Tensor:
        """(M,) in [0, 1]: |p - p*| of the entry in :attr:`scores`.

        This is the gradient norm by which GHM separates easy samples from hard ones: that of the
        plain cross-entropy with respect to a logit, whatever the loss.
        """
        rows = self.samples.pos_idxs
        return self.scores.index_copy(0, rows, 1 - self.scores[rows])

    @cached_property
    def local_ranks(self) -> Tensor:
        """(P,) int64, rank among the positives of the same object by IoU after regression."""
        gt_idxs = self.samples.gt_idxs[self.samples.pos_idxs]
        return hierarchical_local_rank(self._pred_ious, gt_idxs, class_idxs=gt_idxs)

    @cached_property
    def hierarchical_ranks(self) -> Tensor:
        """(P,) int64, hierarchical local rank (IoU-HLR) among the positives of the same class."""
        rows = self.samples.pos_idxs
        return hierarchical_local_rank(
            self._pred_ious, self.samples.gt_idxs[rows], class_idxs=self.samples.gt_labels[rows]
        )

    @property
    def _pred_ious(self) -> Tensor:
        return self.samples.positives.pred_ious
