"""RoI heads with a sampler and a criterion."""

from collections.abc import Callable
from dataclasses import replace

import torch
from detectron2.config import configurable
from detectron2.modeling import ROI_HEADS_REGISTRY, StandardROIHeads
from detectron2.modeling.proposal_generator.proposal_utils import add_ground_truth_to_proposals
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.buffers import untouched_buffers
from imbdet.modeling import sites
from imbdet.modeling.assign import assign
from imbdet.modeling.build import build_sampler, require_sample_losses
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers, refuse_loss_switches
from imbdet.modeling.recording import RecordsSamples
from imbdet.samplers import needs_of
from imbdet.structures import Candidates, Choice, Predictions


@ROI_HEADS_REGISTRY.register()
class ImbROIHeads(RecordsSamples, StandardROIHeads):
    """:class:`detectron2.modeling.StandardROIHeads` whose samples and losses are chosen by keys.

    With default keys its losses, gradients and detections are those of StandardROIHeads; the mask
    and keypoint branches are detectron2's and train on the same samples.
    """

    site = sites.ROI_HEADS

    @configurable
    def __init__(self, *, sampler: Callable[[Candidates], Choice], **kwargs):
        """Build the heads.

        Args:
            sampler: chooses proposals; ``batch_size_per_image`` and ``positive_fraction`` are not
                read, a :class:`imbdet.samplers.QuotaSampler` has its own.
            kwargs: see :class:`detectron2.modeling.StandardROIHeads`; ``box_predictor`` has the
                losses, imbdet's in :class:`ImbFastRCNNOutputLayers`.

        Raises:
            UserError: the sampler needs losses that the box predictor does not tell.
        """
        super().__init__(**kwargs)
        require_sample_losses(sampler, getattr(self.box_predictor, "criterion", self.box_predictor))
        self.sampler = sampler

    @classmethod
    def from_config(cls, cfg, input_shape):
        """Read MODEL.SAMPLER beside detectron2's keys."""
        return {
            **super().from_config(cfg, input_shape),
            "sampler": build_sampler(cfg, cls.site),
        }

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        refuse_loss_switches(cfg)  # before detectron2's predictor reads what they ask for
        parts = super()._init_box_head(cfg, input_shape)
        # The same weights as detectron2's, and the same random numbers left for the other heads.
        with torch.random.fork_rng(devices=[]):
            predictor = ImbFastRCNNOutputLayers(cfg, parts["box_head"].output_shape)
        for layer in ("cls_score", "bbox_pred"):
            getattr(predictor, layer).weight = getattr(parts["box_predictor"], layer).weight
        return {**parts, "box_predictor": predictor}

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """See :class:`StandardROIHeads`; in training, samplers may look at the features."""
        if not self.training:
            return super().forward(images, features, proposals, targets)
        proposals = self.label_and_sample_proposals(proposals, targets, features)
        losses = self._forward_box(features, proposals)
        losses.update(self._forward_mask(features, proposals))
        losses.update(self._forward_keypoint(features, proposals))
        return proposals, losses

    @torch.no_grad()
    def label_and_sample_proposals(
        self,
        proposals: list[Instances],
        targets: list[Instances],
        features: dict[str, Tensor] | None = None,
    ) -> list[Instances]:
        """Append the ground truth, assign and sample.

        Args:
            proposals: of each image, with "proposal_boxes".
            targets: ground truth of each image, with "gt_boxes" and "gt_classes".
            features: of the images, for samplers that need predictions.

        Returns:
            The chosen proposals of each image, with "gt_classes" in [0, K], "gt_idxs" (unique in
            the batch, -1 for negatives), "matched_ious", perhaps "importance", and, where the
            image has any object, all "gt_*" fields of the targets.
        """
        proposals, candidates = self.assign_proposals(proposals, targets)
        if needs := needs_of(self.sampler):
            predictions = self.preview(candidates, proposals, targets, features, needs)
            candidates = replace(candidates, predictions=predictions)
        choice = self.sampler(candidates)
        chosen = candidates.take(choice)
        self.record_sampling(candidates, chosen)
        self._log_counts(chosen)
        fields = {
            "gt_classes": chosen.gt_labels,
            "gt_idxs": chosen.gt_idxs,
            "matched_ious": chosen.ious,
        }
        if choice.importance is not None:
            fields["importance"] = choice.importance
        return _take_proposals(proposals, targets, choice, fields)

    def assign_proposals(
        self, proposals: list[Instances], targets: list[Instances]
    ) -> tuple[list[Instances], Candidates]:
        """The proposals of each image, with the ground truth behind them if the config says so,
        and what they are assigned to; for the arguments see :meth:`label_and_sample_proposals`.
        """
        if self.proposal_append_gt:
            proposals = add_ground_truth_to_proposals(targets, proposals)
        candidates = assign(
            self.proposal_matcher,
            [p.proposal_boxes for p in proposals],
            [t.gt_boxes for t in targets],
            [t.gt_classes for t in targets],
            self.num_classes,
        )
        return proposals, candidates

    @torch.no_grad()
    def preview(
        self,
        candidates: Candidates,
        proposals: list[Instances],
        targets: list[Instances],
        features: dict[str, Tensor],
        needs: frozenset[str],
    ) -> Predictions:
        """What the box branch says of all proposals, as in ``_forward_box``.

        Args:
            candidates: second result of :meth:`assign_proposals`, whose first are ``proposals``.
            proposals: of each image.
            targets: ground truth of each image.
            features: of the images.
            needs: see :class:`PoolSampler`.
        """
        with untouched_buffers(self.box_head):
            box_features = self.box_pooler(
                [features[f] for f in self.box_in_features], [p.proposal_boxes for p in proposals]
            )
            outputs = self.box_predictor(self.box_head(box_features))
        gt_boxes = torch.cat([t.gt_boxes.tensor for t in targets])
        return self.box_predictor.preview(candidates, outputs, proposals, gt_boxes, needs)

    def _log_counts(self, chosen: Candidates) -> None:
        storage, num_images = get_event_storage(), len(chosen.num_per_image)
        storage.put_scalar("roi_head/num_fg_samples", len(chosen.pos_idxs) / num_images)
        storage.put_scalar("roi_head/num_bg_samples", len(chosen.neg_idxs) / num_images)


def _take_proposals(
    proposals: list[Instances],
    targets: list[Instances],
    choice: Choice,
    fields: dict[str, Tensor],
) -> list[Instances]:
    """Split the choice by image and attach the fields and the ground truth."""
    rows = choice.rows(torch.arange(sum(choice.num_per_image), device=fields["gt_idxs"].device))
    split_fields = {name: f.split(list(choice.num_per_image)) for name, f in fields.items()}
    taken, first_row, first_gt = [], 0, 0
    for i, rows_i in enumerate(rows.split(list(choice.num_per_image))):
        chosen = proposals[i][rows_i - first_row]
        for name, values in split_fields.items():
            chosen.set(name, values[i])
        _attach_targets(chosen, targets[i], chosen.gt_idxs - first_gt)
        taken.append(chosen)
        first_row, first_gt = first_row + len(proposals[i]), first_gt + len(targets[i])
    return taken


def _attach_targets(chosen: Instances, targets: Instances, gt_idxs: Tensor) -> None:
    """Set the "gt_*" fields; negatives, whose index is negative, get those of any object."""
    if len(targets) == 0:
        return
    for name, values in targets.get_fields().items():
        if name.startswith("gt_") and not chosen.has(name):
            chosen.set(name, values[gt_idxs.clamp(min=0)])
