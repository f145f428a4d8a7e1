"""The dense detector: one head whose priors, boxes, quality, assigner and losses are keys."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY, RetinaNet
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.assigners import Assigner
from imbdet.learning import Learner
from imbdet.learning.criteria import Criterion
from imbdet.learning.normalizers import Count, Normalizer, num_positives, sum_of_quality
from imbdet.losses import expected_distance
from imbdet.modeling import site_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.modeling.dense import (
    DenseView,
    refuse_other_strides,
    view_dense_head,
)
from imbdet.modeling.dense_parts import (
    build_dense_head,
    build_priors,
    build_transform,
)
from imbdet.modeling.ground_truth import targets_of
from imbdet.modeling.matcher import matching_assigner
from imbdet.modeling.registry import read_choice
from imbdet.modeling.site_keys import Site
from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.samplers import Sampler
from imbdet.structures import Candidates

NORMALIZERS: dict[str, Callable[["ImbDense"], Normalizer]] = {
    "running_positives": lambda detector: detector.update_normalizer,
    "positives": lambda _: num_positives,
    "quality": lambda _: sum_of_quality,
}


@META_ARCH_REGISTRY.register()
class ImbDense(KeepsMissingBuffers, RetinaNet):
    """:class:`detectron2.modeling.RetinaNet` with all parts of the head and its training by keys.

    With default keys its losses, gradients and detections are RetinaNet's, and with those of
    ``Dense-FCOS.yaml`` they are those of detectron2's FCOS. The running loss normalizer is a
    buffer, so that a checkpoint keeps it.

    Attributes:
        site: names of its keys.
    """

    site: Site = site_keys.DENSE

    # Weight of the past in the running number of positives, and its first value: detectron2's.
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
        normalizer: str = "running_positives",
        **kwargs,
    ):
        """Build the detector.

        Args:
            sampler: sampler of the priors; :func:`imbdet.samplers.sample_all` takes all.
            criterion: criterion of their losses. The arguments of RetinaNet that describe its own
                losses, ``focal_loss_*``, ``smooth_l1_beta`` and ``box_reg_loss_type``, are not
                read.
            assigner: assigner of the priors; None is that of ``anchor_matcher``.
            box_reg_loss_weight: factor of the box loss, and of CARL's.
            normalizer: divisor of losses: "running_positives", a running number of positives;
                "positives", their number; "quality", the sum of their qualities.
            kwargs: see :class:`detectron2.modeling.RetinaNet`; ``head`` may have a quality branch
                and distributions, see :class:`imbdet.modeling.dense_head.DenseHead`.

        Raises:
            ValueError: there is no such normalizer.
            UserError: the sampler needs losses that the criterion does not return.
        """
        if normalizer not in NORMALIZERS:
            raise ValueError(f"normalizer is {normalizer!r}: it must be one of {[*NORMALIZERS]}")
        super().__init__(**kwargs)
        self.criterion = criterion
        self.learner = Learner(
            self.site.place,
            assigner=assigner or matching_assigner(self.anchor_matcher),
            sampler=sampler,
            criterion=criterion,
            normalizer=NORMALIZERS[normalizer](self),
            num_classes=self.num_classes,
            log=get_event_storage,
        )
        self.loss_weight = {"loss_box_reg": box_reg_loss_weight, "loss_carl": box_reg_loss_weight}
        self.register_buffer("loss_normalizer", torch.tensor(self.INITIAL_NORMALIZER))

    @classmethod
    def from_config(cls, cfg: CfgNode):
        """Read the nodes of keys of the site beside RetinaNet's."""
        parts = {
            **super().from_config(cfg),
            "assigner": build_assigner(cfg, cls.site),
            "sampler": build_sampler(cfg, cls.site),
            "criterion": build_criterion(cfg, cls.site),
            "box_reg_loss_weight": cfg.MODEL.RETINANET.BBOX_REG_LOSS_WEIGHT,
        }
        shapes = parts["backbone"].output_shape()
        shapes = [shapes[name] for name in parts["head_in_features"]]
        parts |= cls.choose_parts(cfg, shapes)
        refuse_other_strides(parts["anchor_generator"], shapes)
        return parts

    @classmethod
    def choose_parts(cls, cfg: CfgNode, shapes: list[ShapeSpec]) -> dict:
        """The parts that MODEL.DENSE chooses.

        Args:
            cfg: config with these keys.
            shapes: shapes of the features that the head takes.
        """
        priors = build_priors(cfg, shapes)
        return {
            "anchor_generator": priors,
            "head": build_dense_head(cfg, shapes, priors),
            "box2box_transform": build_transform(cfg, shapes, priors),
            "normalizer": read_choice(cfg, "MODEL.DENSE.NORMALIZER", list(NORMALIZERS)),
        }

    def forward_training(
        self,
        images: ImageList,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """Assign, sample, and compute losses; returns weighted scalars named "loss_*"."""
        view = self.view(features, predictions, gt_instances)
        chosen = self.learner.choose(view.priors, view.targets, view.outputs)
        positives_per_image = len(chosen.pos_idxs) / len(gt_instances)
        get_event_storage().put_scalar("num_pos_anchors", positives_per_image)
        losses = self.learner.pay(chosen, view.outputs.take(chosen.rows), view.by_level)
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: list[list[Tensor]]
    ) -> list[Instances]:
        """Detections of each image; with a quality branch a score is sqrt(class x quality).

        The square root keeps both at the scale of a score: Tian et al., "FCOS: A Simple and Strong
        Anchor-Free Object Detector", TPAMI 2021, https://arxiv.org/abs/2006.09214, eq. 4.
        """
        levels = self._by_level(predictions)
        anchors = self.anchor_generator(features)
        scores = [logits.sigmoid() for logits in levels["logits"]]
        if "quality" in levels:
            pairs = zip(scores, levels["quality"], strict=True)
            scores = [(score * quality.sigmoid()).sqrt() for score, quality in pairs]
        return [
            self.inference_single_image(
                anchors,
                [score[i] for score in scores],
                [deltas[i] for deltas in levels["box deltas"]],
                size,
            )
            for i, size in enumerate(images.image_sizes)
        ]

    def view(
        self,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> DenseView:
        """The outputs of the head for all priors.

        Args:
            features: features of each level.
            predictions: results of the head.
            gt_instances: ground truth of each image.
        """
        return view_dense_head(
            self.head_in_features,
            self.anchor_generator(features),
            self.anchor_generator,
            self._by_level(predictions),
            targets_of(gt_instances),
            self.box2box_transform,
        )

    def _by_level(self, predictions: list[list[Tensor]]) -> dict[str, list[Tensor]]:
        """(N, R_l, ...) predictions of each level: see :func:`view_dense_head`."""
        num_numbers = 4 * (getattr(self.head, "reg_max", 0) + 1)
        widths = [self.num_classes, num_numbers, 1][: len(predictions)]
        logits, boxes, *quality = self._transpose_dense_predictions(predictions, widths)
        levels = {"logits": logits, "box deltas": boxes}
        if num_numbers > 4:
            levels["sides"] = [of_level.unflatten(2, (4, -1)) for of_level in boxes]
            levels["box deltas"] = [expected_distance(sides) for sides in levels["sides"]]
        if quality:
            levels["quality"] = quality[0]
        return levels

    def update_normalizer(self, chosen: Candidates, count: Count) -> Tensor:
        """Add the positives of a batch to their running number, and return that."""
        momentum = self.NORMALIZER_MOMENTUM
        # A new tensor: graphs of earlier batches may still hold the old one.
        self.loss_normalizer = momentum * self.loss_normalizer + (1 - momentum) * num_positives(
            chosen, count
        )
        return self.loss_normalizer
