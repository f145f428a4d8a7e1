"""RoI heads with a sampler and a criterion."""

import torch
from detectron2.config import configurable
from detectron2.modeling import ROI_HEADS_REGISTRY, StandardROIHeads
from detectron2.modeling.proposal_generator.proposal_utils import add_ground_truth_to_proposals
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.assigners import Assigner
from imbdet.buffers import untouched_buffers
from imbdet.errors import UserError
from imbdet.learning import Learner
from imbdet.learning.normalizers import num_samples
from imbdet.modeling import site_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_sampler
from imbdet.modeling.dense import targets_of
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers, refuse_loss_switches
from imbdet.modeling.matcher import MatcherAssigner
from imbdet.samplers import Sampler
from imbdet.structures import Candidates, Outputs, Priors


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
            sampler: chooses proposals; ``batch_size_per_image`` and ``positive_fraction`` are not
                read, a :class:`imbdet.samplers.QuotaSampler` has its own.
            assigner: finds the object of each proposal; None is ``proposal_matcher``.
            kwargs: see :class:`detectron2.modeling.StandardROIHeads`; ``box_predictor`` is an
                :class:`ImbFastRCNNOutputLayers`.

        Raises:
            UserError: the box predictor has no criterion, or the sampler needs losses that the
                criterion does not tell.
        """
        super().__init__(**kwargs)
        if not isinstance(self.box_predictor, ImbFastRCNNOutputLayers):
            raise UserError(
                "ImbROIHeads pays by the criterion of an ImbFastRCNNOutputLayers, but its "
                f"box_predictor is of {type(self.box_predictor).__name__}."
            )
        assigner = assigner or MatcherAssigner(self.proposal_matcher)
        if isinstance(assigner, nn.Module):
            self.assigner = assigner  # so that checkpoints keep what it has learned
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
        chosen, proposals = self.choose_proposals(proposals, targets, features)
        losses = self.box_losses(features, proposals, chosen)
        losses.update(self._forward_mask(features, proposals))
        losses.update(self._forward_keypoint(features, proposals))
        return proposals, losses

    @torch.no_grad()
    def choose_proposals(
        self,
        proposals: list[Instances],
        targets: list[Instances],
        features: dict[str, Tensor],
    ) -> tuple[Candidates, list[Instances]]:
        """Append the ground truth, assign and sample.

        Args:
            proposals: of each image, with "proposal_boxes".
            targets: ground truth of each image, with "gt_boxes" and "gt_classes".
            features: of the images, for parts that look at predictions.

        Returns:
            The chosen proposals, and the same of each image as other heads take them: with
            "gt_classes" in [0, K] and, where the image has any object, all "gt_*" fields of the
            targets.
        """
        proposals = self.append_gt(proposals, targets)
        chosen = self.learner.choose(
            priors_of(proposals),
            targets_of(targets),
            lambda: self.look(features, proposals),
        )
        storage, num_images = get_event_storage(), len(chosen.num_per_image)
        storage.put_scalar("roi_head/num_fg_samples", len(chosen.pos_idxs) / num_images)
        storage.put_scalar("roi_head/num_bg_samples", len(chosen.neg_idxs) / num_images)
        return chosen, _take_proposals(proposals, targets, chosen)

    def append_gt(self, proposals: list[Instances], targets: list[Instances]) -> list[Instances]:
        """The proposals of each image, followed by the ground truth if the config says so."""
        if self.proposal_append_gt:
            return add_ground_truth_to_proposals(targets, proposals)
        return proposals

    @torch.no_grad()
    def look(self, features: dict[str, Tensor], proposals: list[Instances]) -> Outputs:
        """What the box branch says of proposals that do not learn: no statistics move."""
        with untouched_buffers(self.box_head):
            return self.box_predictor.outputs(self._predict(features, proposals))

    def box_losses(
        self, features: dict[str, Tensor], proposals: list[Instances], chosen: Candidates
    ) -> dict[str, Tensor]:
        """The losses of the chosen proposals, times their weights in the config.

        Args:
            features: of the images.
            proposals: second result of :meth:`choose_proposals`; their boxes become the predicted
                ones if the config says that the other heads train on those.
            chosen: first result of :meth:`choose_proposals`.
        """
        predictor, predictions = self.box_predictor, self._predict(features, proposals)
        outputs = predictor.outputs(predictions)
        predictor.log_accuracy(outputs, chosen)
        by_kind = {"logits": predictions[0], "box deltas": predictions[1]}
        losses = self.learner.pay(chosen, outputs, by_kind)
        if self.train_on_pred_boxes:
            with torch.no_grad():
                boxes = predictor.predict_boxes_for_gt_classes(predictions, proposals)
            for of_image, boxes_of_image in zip(proposals, boxes, strict=True):
                of_image.proposal_boxes = Boxes(boxes_of_image)
        return {name: loss * predictor.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def _predict(
        self, features: dict[str, Tensor], proposals: list[Instances]
    ) -> tuple[Tensor, Tensor]:
        levels = [features[name] for name in self.box_in_features]
        box_features = self.box_pooler(levels, [p.proposal_boxes for p in proposals])
        return self.box_predictor(self.box_head(box_features))


def priors_of(proposals: list[Instances]) -> Priors:
    """The proposals of all images."""
    boxes = Boxes.cat([p.proposal_boxes for p in proposals]).tensor
    return Priors(boxes, num_per_image=[len(p) for p in proposals])


def _take_proposals(
    proposals: list[Instances], targets: list[Instances], chosen: Candidates
) -> list[Instances]:
    """Split the choice by image and attach labels and ground truth."""
    rows = chosen.rows
    if isinstance(rows, slice):
        rows = torch.arange(len(chosen), device=chosen.gt_labels.device)
    columns = (rows, chosen.gt_labels, chosen.gt_idxs)
    parts = zip(*(column.split(list(chosen.num_per_image)) for column in columns), strict=True)
    taken, first_row, first_gt = [], 0, 0
    for own, objects, (rows_i, labels, gt_idxs) in zip(proposals, targets, parts, strict=True):
        of_image = own[rows_i - first_row]
        of_image.gt_classes = labels
        _attach_targets(of_image, objects, gt_idxs - first_gt)
        taken.append(of_image)
        first_row, first_gt = first_row + len(own), first_gt + len(objects)
    return taken


def _attach_targets(proposals: Instances, targets: Instances, gt_idxs: Tensor) -> None:
    """Set the "gt_*" fields; negatives, whose index is negative, get those of any object."""
    if len(targets) == 0:
        return
    for name, values in targets.get_fields().items():
        if name.startswith("gt_") and not proposals.has(name):
            proposals.set(name, values[gt_idxs.clamp(min=0)])
