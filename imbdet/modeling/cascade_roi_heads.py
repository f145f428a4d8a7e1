"""RoI heads in stages, each of which has a learner."""

from collections.abc import Sequence
from functools import partial

import torch
from detectron2.config import configurable
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import CascadeROIHeads
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.assigners import Assigner
from imbdet.errors import UserError
from imbdet.learning import Learner
from imbdet.learning.normalizers import num_samples
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_sampler
from imbdet.modeling.cascade_stages import naming_stage, stage_place, stages_of
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers, take_over, without_loss_switches
from imbdet.modeling.matcher import matching_assigner
from imbdet.modeling.proposals import attach_targets, choose_proposals
from imbdet.modeling.roi_heads import ImbROIHeads
from imbdet.ops.buffers import untouched_buffers
from imbdet.samplers import Sampler
from imbdet.structures import Outputs


@ROI_HEADS_REGISTRY.register()
class ImbCascadeROIHeads(CascadeROIHeads):
    """:class:`detectron2.modeling.roi_heads.CascadeROIHeads` with samples and losses by keys.

    Cai and Vasconcelos, "Cascade R-CNN", CVPR 2018, https://arxiv.org/abs/1712.00726.

    With default keys its losses, gradients and detections are those of CascadeROIHeads. Stages are
    counted from 0; the boxes that a stage predicts for its samples are the proposals of the next.

    Attributes:
        learners: learners of the stages.
    """

    @configurable
    def __init__(
        self,
        *,
        samplers: Sequence[Sampler],
        assigners: Sequence[Assigner | None] | None = None,
        loss_weights: Sequence[float] = (),
        **kwargs,
    ):
        """Build the heads.

        Args:
            samplers: sampler of each stage; ``batch_size_per_image`` and ``positive_fraction`` are
                not read, a :class:`imbdet.samplers.QuotaSampler` has its own.
            assigners: assigner of each stage; None is that of its ``proposal_matchers``.
            loss_weights: factors of the losses of each stage, as in MMDetection. If empty, as in
                detectron2, each factor is 1, and gradients of the features are averaged over the
                stages.
            kwargs: see :class:`detectron2.modeling.roi_heads.CascadeROIHeads`; ``box_predictors``
                are :class:`ImbFastRCNNOutputLayers`.

        Raises:
            UserError: a box predictor has no criterion, or a sampler needs losses that the
                criterion does not return.
        """
        super().__init__(**kwargs)
        if not all(isinstance(part, ImbFastRCNNOutputLayers) for part in self.box_predictor):
            raise UserError(
                "ImbCascadeROIHeads pays by the criteria of ImbFastRCNNOutputLayers: each of its "
                "box_predictors must be one."
            )
        self.loss_weights = list(loss_weights)
        if assigners is None:
            assigners = [None] * self.num_cascade_stages
        assigners = [
            assigner or matching_assigner(matcher)
            for assigner, matcher in zip(assigners, self.proposal_matchers, strict=True)
        ]
        # Registered, so that checkpoints keep the states of assigners.
        self.assigners = nn.ModuleList(part for part in assigners if isinstance(part, nn.Module))
        criteria = [predictor.criterion for predictor in self.box_predictor]
        self.learners = [
            Learner(
                stage_place(k),
                assigner=assigner,
                sampler=sampler,
                criterion=criterion,
                normalizer=num_samples,
                num_classes=self.num_classes,
                log=get_event_storage,
                # Otherwise, later stages of other processes would wait for one that stops here.
                stops_together=any(later.scope == "global" for later in criteria[k + 1 :]),
            )
            for k, (assigner, sampler, criterion) in enumerate(
                zip(assigners, samplers, criteria, strict=True)
            )
        ]

    @classmethod
    def from_config(cls, cfg, input_shape):
        """Read the keys of each stage beside detectron2's; see ``cascade_stages``."""
        parts = super().from_config(cfg, input_shape)
        samplers, assigners = [], []
        for k, (own, site) in enumerate(stages_of(cfg)):
            with naming_stage(cfg, k):
                samplers.append(build_sampler(own, site))
                assigners.append(build_assigner(own, site))
        return {
            **parts,
            "samplers": samplers,
            "assigners": assigners,
            "loss_weights": cfg.MODEL.ROI_BOX_CASCADE_HEAD.LOSS_WEIGHTS,
        }

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        stages = stages_of(cfg)
        parts = super()._init_box_head(without_loss_switches(cfg), input_shape)
        heads = zip(parts["box_predictors"], parts["box_heads"], strict=True)
        predictors = []
        for k, (predictor, head) in enumerate(heads):
            with naming_stage(cfg, k):
                predictors.append(take_over(predictor, stages[k].cfg, head.output_shape))
        return {**parts, "box_predictors": predictors}

    append_gt = ImbROIHeads.append_gt

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """See :class:`CascadeROIHeads`; in training, samplers may need predictions of features."""
        if not self.training:
            return super().forward(images, features, proposals, targets)
        levels = self._levels(features)
        candidates, first, losses = self.append_gt(proposals, targets), None, {}
        for k, learner in enumerate(self.learners):
            # detectron2 logs the numbers of samples of the first stage under their plain names.
            prefix = f"stage{k}/" if k > 0 else ""
            look = partial(self.look, features, candidates, stage=k)
            chosen, taken = choose_proposals(learner, candidates, targets, look, prefix)
            if first is None:
                first = chosen, taken
            predictor, predictions = self.box_predictor[k], self._run_stage(levels, taken, k)
            own = predictor.pay(learner, predictions, chosen, f"stage{k}/")
            weight = self.loss_weights[k] if self.loss_weights else 1.0
            losses |= {f"{name}_stage{k}": weight * loss for name, loss in own.items()}
            boxes = predictor.predict_boxes(predictions, taken)
            sizes = [of_image.image_size for of_image in taken]
            candidates = self._create_proposals_from_boxes(boxes, sizes)
        chosen, taken = first  # the other heads train on these
        attach_targets(taken, targets, chosen)
        losses |= self._forward_mask(features, taken)
        losses |= self._forward_keypoint(features, taken)
        return taken, losses

    @torch.no_grad()
    def look(
        self, features: dict[str, Tensor], proposals: list[Instances], stage: int = 0
    ) -> Outputs:
        """Outputs of a stage for proposals, without training: no statistics change."""
        with untouched_buffers(self.box_head[stage]):
            predictions = self._run_stage(self._levels(features), proposals, stage)
            return self.box_predictor[stage].outputs(predictions)

    def _levels(self, features: dict[str, Tensor]) -> list[Tensor]:
        return [features[name] for name in self.box_in_features]

    def _run_stage(
        self, features: list[Tensor], proposals: list[Instances], stage: int
    ) -> tuple[Tensor, Tensor]:
        box_features = self.box_pooler(features, [p.proposal_boxes for p in proposals])
        if box_features.requires_grad and not self.loss_weights:
            share = 1.0 / self.num_cascade_stages
            box_features.register_hook(lambda gradient: gradient * share)
        return self.box_predictor[stage](self.box_head[stage](box_features))
