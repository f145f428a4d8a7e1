"""Region proposal network with a sampler and a criterion."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from detectron2.config import configurable
from detectron2.modeling import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.learning.criteria import all_processes
from imbdet.modeling import sites
from imbdet.modeling.assign import assign
from imbdet.modeling.build import build_criterion, build_sampler, require_sample_losses
from imbdet.modeling.dense import DenseOutputs
from imbdet.modeling.finite import predictions_by_level, require_finite
from imbdet.modeling.prior import set_prior
from imbdet.modeling.recording import RecordsSamples
from imbdet.ops import exchange
from imbdet.samplers import needs_of
from imbdet.structures import Candidates, Choice, Samples


@PROPOSAL_GENERATOR_REGISTRY.register()
class ImbRPN(RecordsSamples, RPN):
    """:class:`detectron2.modeling.proposal_generator.RPN` with samples and losses by keys.

    With default keys its losses, gradients and proposals are RPN's. Objectness is a problem of
    one class: label 0 is an object, 1 background.
    """

    site = sites.RPN

    @configurable
    def __init__(
        self,
        *,
        sampler: Callable[[Candidates], Choice],
        criterion: nn.Module,
        prior_prob: float = 0.0,
        averages_samples: bool = False,
        stops_together: bool = False,
        **kwargs,
    ):
        """Build the network.

        Args:
            sampler: chooses anchors; ``positive_fraction`` is not read.
            criterion: what they pay to; ``box_reg_loss_type`` and ``smooth_l1_beta`` are not read.
            prior_prob: score in [0, 1) with which the objectness starts; 0 leaves the bias.
            averages_samples: whether the losses are divided by the number of samples, and not by
                the quota, of which a sampler may leave a part.
            stops_together: whether losses that are not finite in one process stop all of them
                here, so that none waits for it in RoI heads whose losses have a global scope.
            kwargs: see :class:`detectron2.modeling.proposal_generator.RPN`.

        Raises:
            UserError: the sampler needs losses that the criterion does not tell.
        """
        super().__init__(**kwargs)
        require_sample_losses(sampler, criterion)
        self.sampler = sampler
        self.criterion = criterion
        self.averages_samples = averages_samples
        self.stops_together = stops_together
        set_prior(self.rpn_head.objectness_logits, prior_prob, "MODEL.RPN.PRIOR_PROB")

    @classmethod
    def from_config(cls, cfg, input_shape):
        """Read MODEL.RPN_SAMPLER and MODEL.RPN_LOSS beside RPN's keys."""
        criterion, _ = build_criterion(cfg, cls.site)
        return {
            **super().from_config(cfg, input_shape),
            "sampler": build_sampler(cfg, cls.site),
            "criterion": criterion,
            "prior_prob": cfg.MODEL.RPN.PRIOR_PROB,
            # Libra R-CNN, which limits the negatives, takes the mean over those that are left.
            "averages_samples": cfg.MODEL.RPN_SAMPLER.MAX_NEG_POS_RATIO > 0,
            # Those with a global scope would wait in the RoI heads for a process that stops here.
            "stops_together": cfg.MODEL.CLS_LOSS.SCOPE == "global",
        }

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[Candidates, list[Instances]]:
        """Assign the anchors; ``RPN.forward`` hands both results to :meth:`losses` untouched."""
        all_anchors = Boxes.cat(anchors)
        candidates = assign(
            self.anchor_matcher,
            [all_anchors] * len(gt_instances),
            [instances.gt_boxes for instances in gt_instances],
            # Of one class, also where the targets have none.
            [all_anchors.tensor.new_zeros(len(gt), dtype=torch.int64) for gt in gt_instances],
            num_classes=1,
        )
        if self.anchor_boundary_thresh >= 0:
            self._ignore_outside(candidates, all_anchors, gt_instances)
        return candidates, gt_instances

    def losses(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        gt_labels: Candidates,
        pred_anchor_deltas: list[Tensor],
        gt_boxes: list[Instances],
    ) -> dict[str, Tensor]:
        """Sample, weigh and pay.

        Args:
            anchors: the anchors of each level.
            pred_objectness_logits: (N, R_l) of each level.
            gt_labels: first result of :meth:`label_and_sample_anchors`.
            pred_anchor_deltas: (N, R_l, 4) of each level.
            gt_boxes: second result of :meth:`label_and_sample_anchors`.

        Returns:
            "loss_rpn_cls" and "loss_rpn_loc", times their weights in the config.
        """
        candidates, gt_instances = gt_labels, gt_boxes
        outputs = DenseOutputs(
            torch.cat(pred_objectness_logits, dim=1)[..., None],
            torch.cat(pred_anchor_deltas, dim=1),
            Boxes.cat(anchors),
            [len(anchors_of_level) for anchors_of_level in anchors],
            gt_instances,
            self.box2box_transform,
        )
        needs = needs_of(self.sampler) | self.recorded_needs(self.criterion)
        candidates = outputs.preview(candidates, self.criterion, needs)
        choice = self.sampler(candidates)
        samples = outputs.take(candidates, choice)
        self._log_counts(samples)
        losses, record = self.criterion(samples, self._normalizer(samples))
        if self.stops_together:
            losses = _spread_trouble(losses, outputs)
        by_level = predictions_by_level(
            self.in_features, pred_objectness_logits, pred_anchor_deltas
        )
        locate = partial(outputs.locate, choice)
        require_finite(losses, by_level, self.site.module, record, locate)
        self.record_sampling(candidates, samples)
        self.record(record, locate)
        # detectron2 calls the RPN's box loss "loc".
        names = {"loss_cls": "loss_rpn_cls", "loss_box_reg": "loss_rpn_loc"}
        losses = {names[name]: loss for name, loss in losses.items()}
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def _ignore_outside(
        self, candidates: Candidates, anchors: Boxes, gt_instances: Sequence[Instances]
    ) -> None:
        """Ignore the anchors that leave their image by more than the threshold."""
        for labels, idxs, instances in zip(
            candidates.gt_labels.view(len(gt_instances), -1),
            candidates.gt_idxs.view(len(gt_instances), -1),
            gt_instances,
            strict=True,
        ):
            outside = ~anchors.inside_box(instances.image_size, self.anchor_boundary_thresh)
            labels[outside] = idxs[outside] = -1

    def _normalizer(self, samples: Samples) -> int:
        if self.averages_samples:
            return max(self.criterion.count(int((samples.gt_labels >= 0).sum()), samples), 1)
        num_images = self.criterion.count(len(samples.num_per_image), samples)
        return self.batch_size_per_image * num_images

    @staticmethod
    def _log_counts(samples: Samples) -> None:
        storage, num_images = get_event_storage(), len(samples.num_per_image)
        storage.put_scalar("rpn/num_pos_anchors", len(samples.pos_idxs) / num_images)
        storage.put_scalar("rpn/num_neg_anchors", len(samples.neg_idxs) / num_images)


def _spread_trouble(losses: dict[str, Tensor], outputs: DenseOutputs) -> dict[str, Tensor]:
    """The losses, but NaN if a loss or a prediction is not finite in any of the processes."""
    values = [outputs.pred_logits, outputs.pred_deltas, *losses.values()]
    total = exchange.total(sum(x.sum(dtype=torch.float64) for x in values), all_processes())
    return {name: loss + (0 * total).to(loss.dtype) for name, loss in losses.items()}
