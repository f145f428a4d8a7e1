"""RoI heads with a sampler and a criterion."""

from functools import partial

import torch
from detectron2.config import configurable
from detectron2.modeling import ROI_HEADS_REGISTRY, StandardROIHeads
from detectron2.modeling.proposal_generator.proposal_utils import add_ground_truth_to_proposals
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.assigners import Assigner
from imbdet.errors import UserError
from imbdet.learning import Learner
from imbdet.learning.normalizers import num_samples
from imbdet.modeling import site_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_sampler
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers, take_over, without_loss_switches
from imbdet.modeling.matcher import matching_assigner
from imbdet.modeling.proposals import attach_targets, choose_proposals
from imbdet.ops.buffers import untouched_buffers
from imbdet.samplers import Sampler
from imbdet.structures import Candidates, Outputs


@ROI_HEADS_REGISTRY.register()
class ImbROIHeads(StandardROIHeads):
    """:class:`detectron2.modeling.StandardROIHeads` whose samples and losses are chosen by keys.

    With default keys its losses, gradients and detections are those of StandardROIHeads; the mask
    and keypoint branches are detectron2's and train on the same samples.
    """

    @configurable
    def __init__(self, *, sampler: Sampler, assigner: Assigner | None = None, **kwargs):
        """Build the heads.

        Args:
            sampler: sampler of the proposals; ``batch_size_per_image`` and ``positive_fraction``
                are not read, a :class:`imbdet.samplers.QuotaSampler` has its own.
            assigner: assigner of the proposals; None is that of ``proposal_matcher``.
            kwargs: see :class:`detectron2.modeling.StandardROIHeads`; ``box_predictor`` is an
                :class:`ImbFastRCNNOutputLayers`.

        Raises:
            UserError: the box predictor has no criterion, or the sampler needs losses that the
                criterion does not return.
        """
        super().__init__(**kwargs)
        if not isinstance(self.box_predictor, ImbFastRCNNOutputLayers):
            raise UserError(
                "ImbROIHeads pays by the criterion of an ImbFastRCNNOutputLayers, but its "
                f"box_predictor is of {type(self.box_predictor).__name__}."
            )
        assigner = assigner or matching_assigner(self.proposal_matcher)
        if isinstance(assigner, nn.Module):
            self.assigner = assigner  # registered, so that checkpoints keep its state
        self.learner = Learner(
            site_keys.ROI_HEADS.place,
            assigner=assigner,
            sampler=sampler,
            criterion=self.box_predictor.criterion,
            normalizer=num_samples,
            num_classes=self.num_classes,
            log=get_event_storage,
        )

    @classmethod
    def from_config(cls, cfg, input_shape):
        """Read MODEL.SAMPLER beside detectron2's keys."""
        return {
            **super().from_config(cfg, input_shape),
            "assigner": build_assigner(cfg, site_keys.ROI_HEADS),
            "sampler": build_sampler(cfg, site_keys.ROI_HEADS),
        }

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        parts = super()._init_box_head(without_loss_switches(cfg), input_shape)
        predictor = take_over(parts["box_predictor"], cfg, parts["box_head"].output_shape)
        return {**parts, "box_predictor": predictor}

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """See :class:`StandardROIHeads`; in training, samplers may need predictions of features."""
        if not self.training:
            return super().forward(images, features, proposals, targets)
        chosen, proposals = self.choose_proposals(proposals, targets, features)
        losses = self.box_losses(features, proposals, chosen)
        losses.update(self._forward_mask(features, proposals))
        losses.update(self._forward_keypoint(features, proposals))
        return proposals, losses

    def choose_proposals(
        self,
        proposals: list[Instances],
        targets: list[Instances],
        features: dict[str, Tensor],
    ) -> tuple[Candidates, list[Instances]]:
        """Append the ground truth, assign and sample.

        Args:
            proposals: proposals of each image, with "proposal_boxes".
            targets: ground truth of each image, with "gt_boxes" and "gt_classes".
            features: features of the images, for parts that need predictions.

        Returns:
            The chosen proposals as candidates, and as proposals of each image for other heads: with
            "gt_classes" in [0, K] and, where the image has any object, all "gt_*" fields of the
            targets.
        """
        proposals = self.append_gt(proposals, targets)
        look = partial(self.look, features, proposals)
        chosen, taken = choose_proposals(self.learner, proposals, targets, look)
        attach_targets(taken, targets, chosen)
        return chosen, taken

    def append_gt(self, proposals: list[Instances], targets: list[Instances]) -> list[Instances]:
        """The proposals of each image, followed by the ground truth if it is to be appended."""
        if self.proposal_append_gt:
            return add_ground_truth_to_proposals(targets, proposals)
        return proposals

    @torch.no_grad()
    def look(self, features: dict[str, Tensor], proposals: list[Instances]) -> Outputs:
        """Outputs of the box branch for proposals, without training: no statistics change."""
        with untouched_buffers(self.box_head):
            return self.box_predictor.outputs(self._predict(features, proposals))

    def box_losses(
        self, features: dict[str, Tensor], proposals: list[Instances], chosen: Candidates
    ) -> dict[str, Tensor]:
        """The losses of the chosen proposals, times their weights in the config.

        Args:
            features: features of the images.
            proposals: second result of :meth:`choose_proposals`; their boxes become the predicted
                ones if ``train_on_pred_boxes`` is True, as the other heads then train on those.
            chosen: first result of :meth:`choose_proposals`.
        """
        predictor, predictions = self.box_predictor, self._predict(features, proposals)
        losses = predictor.pay(self.learner, predictions, chosen)
        if self.train_on_pred_boxes:
            with torch.no_grad():
                boxes = predictor.predict_boxes_for_gt_classes(predictions, proposals)
            for of_image, boxes_of_image in zip(proposals, boxes, strict=True):
                of_image.proposal_boxes = Boxes(boxes_of_image)
        return losses

    def _predict(
        self, features: dict[str, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, Tensor]:
        levels = [features[name] for name in self.box_in_features]
        box_features = self.box_pooler(levels, [p.proposal_boxes for p in proposals])
        return self.box_predictor(self.box_head(box_features))
