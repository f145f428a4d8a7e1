"""RetinaNet with a sampler and a criterion."""

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, RetinaNet
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.assigners import Assigner
from imbdet.buffers import KeepsMissingBuffers
from imbdet.learning import Learner
from imbdet.learning.criteria import Criterion
from imbdet.learning.normalizers import Count
from imbdet.modeling import site_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.modeling.dense import (
    DenseView,
    refuse_other_strides,
    strides_of,
    targets_of,
    view_dense_head,
)
from imbdet.modeling.matcher import MatcherAssigner
from imbdet.samplers import Sampler
from imbdet.structures import Candidates


@META_ARCH_REGISTRY.register()
class ImbRetinaNet(KeepsMissingBuffers, RetinaNet):
    """:class:`detectron2.modeling.RetinaNet` whose samples and losses are chosen by keys.

    With default keys its losses, gradients and detections are RetinaNet's. The running loss
    normalizer is a buffer, so that a checkpoint keeps it.
    """

    # Weight of the past in the running number of positives, and its first value: as detectron2.
    NORMALIZER_MOMENTUM = 0.9
    INITIAL_NORMALIZER = 100.0

    @configurable
    def __init__(
        self,
        *,
        sampler: Sampler,
        criterion: Criterion,
        assigner: Assigner | None = None,
        box_reg_loss_weight: float = 1.0,
        **kwargs,
    ):
        """Build the detector.

        Args:
            sampler: chooses anchors; :func:`imbdet.samplers.sample_all` takes all.
            criterion: what they pay to. The arguments of RetinaNet that describe its own losses,
                ``focal_loss_*``, ``smooth_l1_beta`` and ``box_reg_loss_type``, are not read.
            assigner: finds the object of each anchor; None is ``anchor_matcher``.
            box_reg_loss_weight: factor of the box loss, and of CARL's.
            kwargs: see :class:`detectron2.modeling.RetinaNet`.

        Raises:
            UserError: the sampler needs losses that the criterion does not tell.
        """
        super().__init__(**kwargs)
        self.criterion = criterion
        self.learner = Learner(
            site_keys.RETINANET.place,
            assigner=assigner or MatcherAssigner(self.anchor_matcher),
            sampler=sampler,
            criterion=criterion,
            normalizer=self._update_normalizer,
            num_classes=self.num_classes,
            log=get_event_storage,
        )
        self.loss_weight = {"loss_box_reg": box_reg_loss_weight, "loss_carl": box_reg_loss_weight}
        self.register_buffer("loss_normalizer", torch.tensor(self.INITIAL_NORMALIZER))

    @classmethod
    def from_config(cls, cfg):
        """Read MODEL.SAMPLER, MODEL.CLS_LOSS and MODEL.BOX_LOSS beside RetinaNet's keys."""
        parts = super().from_config(cfg)
        shapes = parts["backbone"].output_shape()
        refuse_other_strides(
            parts["anchor_generator"], [shapes[name] for name in parts["head_in_features"]]
        )
        return {
            **parts,
            "assigner": build_assigner(cfg, site_keys.RETINANET),
            "sampler": build_sampler(cfg, site_keys.RETINANET),
            "criterion": build_criterion(cfg, site_keys.RETINANET),
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
        view = self.view(features, predictions, gt_instances)
        chosen = self.learner.choose(view.priors, view.targets, view.outputs)
        num_positives = len(chosen.pos_idxs)
        get_event_storage().put_scalar("num_pos_anchors", num_positives / len(gt_instances))
        losses = self.learner.pay(chosen, view.outputs.take(chosen.rows), view.by_level)
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def view(
        self,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> DenseView:
        """What the head says of all anchors.

        Args:
            features: of each level.
            predictions: logits and deltas of each level, as the head returns them.
            gt_instances: ground truth of each image.
        """
        pred_logits, pred_deltas = self._transpose_dense_predictions(
            predictions, [self.num_classes, 4]
        )
        return view_dense_head(
            self.head_in_features,
            self.anchor_generator(features),
            strides_of(self.anchor_generator),
            pred_logits,
            pred_deltas,
            targets_of(gt_instances),
            self.box2box_transform,
        )

    def _update_normalizer(self, chosen: Candidates, count: Count) -> Tensor:
        """The running number of positives."""
        num_positives = max(count(len(chosen.pos_idxs)), 1)
        momentum = self.NORMALIZER_MOMENTUM
        # A new tensor: graphs of earlier batches may still hold the old one.
        self.loss_normalizer = momentum * self.loss_normalizer + (1 - momentum) * num_positives
        return self.loss_normalizer
