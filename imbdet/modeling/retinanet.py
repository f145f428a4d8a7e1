"""RetinaNet with a sampler and a criterion."""

from collections.abc import Callable
from functools import partial

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, RetinaNet
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.buffers import KeepsMissingBuffers
from imbdet.modeling import sites
from imbdet.modeling.assign import assign
from imbdet.modeling.build import build_criterion, build_sampler, require_sample_losses
from imbdet.modeling.dense import DenseOutputs
from imbdet.modeling.finite import predictions_by_level, require_finite
from imbdet.modeling.recording import RecordsSamples
from imbdet.samplers import needs_of
from imbdet.structures import Candidates, Choice


@META_ARCH_REGISTRY.register()
class ImbRetinaNet(KeepsMissingBuffers, RecordsSamples, RetinaNet):
    """:class:`detectron2.modeling.RetinaNet` whose samples and losses are chosen by keys.

    With default keys its losses, gradients and detections are RetinaNet's. The running loss
    normalizer is a buffer, so that a checkpoint keeps it.
    """

    site = sites.RETINANET
    # Weight of the past in the running number of positives, and its first value: as detectron2.
    NORMALIZER_MOMENTUM = 0.9
    INITIAL_NORMALIZER = 100.0

    @configurable
    def __init__(
        self,
        *,
        sampler: Callable[[Candidates], Choice],
        criterion: nn.Module,
        box_reg_loss_weight: float = 1.0,
        **kwargs,
    ):
        """Build the detector.

        Args:
            sampler: chooses anchors; :func:`imbdet.samplers.sample_all` takes all.
            criterion: what they pay to. The arguments of RetinaNet that describe its own losses,
                ``focal_loss_*``, ``smooth_l1_beta`` and ``box_reg_loss_type``, are not read.
            box_reg_loss_weight: factor of the box loss, and of CARL's.
            kwargs: see :class:`detectron2.modeling.RetinaNet`.

        Raises:
            UserError: the sampler needs losses that the criterion does not tell.
        """
        super().__init__(**kwargs)
        require_sample_losses(sampler, criterion)
        self.sampler = sampler
        self.criterion = criterion
        self.loss_weight = {"loss_box_reg": box_reg_loss_weight, "loss_carl": box_reg_loss_weight}
        self.register_buffer("loss_normalizer", torch.tensor(self.INITIAL_NORMALIZER))

    @classmethod
    def from_config(cls, cfg):
        """Read MODEL.SAMPLER, MODEL.CLS_LOSS and MODEL.BOX_LOSS beside RetinaNet's keys."""
        criterion, _ = build_criterion(cfg, cls.site)
        return {
            **super().from_config(cfg),
            "sampler": build_sampler(cfg, cls.site),
            "criterion": criterion,
            "box_reg_loss_weight": cfg.MODEL.RETINANET.BBOX_REG_LOSS_WEIGHT,
        }

    def forward_training(
        self,
        images: ImageList,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """Assign, sample, weigh and pay; returns scalars named "loss_*"."""
        candidates, outputs = self.assign_anchors(features, predictions, gt_instances)
        needs = needs_of(self.sampler) | self.recorded_needs(self.criterion)
        candidates = outputs.preview(candidates, self.criterion, needs)
        choice = self.sampler(candidates)
        samples = outputs.take(candidates, choice)
        num_positives = len(samples.pos_idxs)
        get_event_storage().put_scalar("num_pos_anchors", num_positives / len(gt_instances))
        normalizer = self._update_normalizer(self.criterion.count(num_positives, samples))
        losses, record = self.criterion(samples, normalizer)
        by_level = predictions_by_level(self.head_in_features, *predictions)
        locate = partial(outputs.locate, choice)
        require_finite(losses, by_level, self.site.module, record, locate)
        self.record_sampling(candidates, samples)
        self.record(record, locate)
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def assign_anchors(
        self,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> tuple[Candidates, DenseOutputs]:
        """All anchors of each image, assigned, and what the head says of them.

        Args:
            features: of each level.
            predictions: logits and deltas of each level, as the head returns them.
            gt_instances: ground truth of each image.
        """
        pred_logits, pred_anchor_deltas = self._transpose_dense_predictions(
            predictions, [self.num_classes, 4]
        )
        anchors_by_level = self.anchor_generator(features)
        anchors = Boxes.cat(anchors_by_level)
        candidates = assign(
            self.anchor_matcher,
            [anchors] * len(gt_instances),
            [instances.gt_boxes for instances in gt_instances],
            [instances.gt_classes for instances in gt_instances],
            self.num_classes,
        )
        outputs = DenseOutputs(
            torch.cat(pred_logits, dim=1),
            torch.cat(pred_anchor_deltas, dim=1),
            anchors,
            [len(anchors_of_level) for anchors_of_level in anchors_by_level],
            gt_instances,
            self.box2box_transform,
        )
        return candidates, outputs

    def _update_normalizer(self, num_positives: int) -> Tensor:
        # A new tensor: graphs of earlier batches may still hold the old one.
        momentum = self.NORMALIZER_MOMENTUM
        self.loss_normalizer = momentum * self.loss_normalizer + (1 - momentum) * max(
            num_positives, 1
        )
        return self.loss_normalizer
