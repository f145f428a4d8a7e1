"""Region proposal network with a sampler and a criterion."""

from detectron2.config import configurable
from detectron2.modeling import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.assigners import Assigner, IgnoreOutside
from imbdet.config_files.keys import get_key
from imbdet.learning import Learner
from imbdet.learning.criteria import Criterion
from imbdet.learning.normalizers import Quota, num_samples
from imbdet.modeling import site_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.modeling.dense import refuse_other_strides, view_dense_head
from imbdet.modeling.ground_truth import targets_of
from imbdet.modeling.matcher import matching_assigner
from imbdet.modeling.prior_prob import set_prior
from imbdet.modeling.sites import sites_of
from imbdet.samplers import Sampler
from imbdet.structures import Candidates

# detectron2 calls the RPN's box loss "loc".
_NAMES = {"loss_cls": "loss_rpn_cls", "loss_box_reg": "loss_rpn_loc"}


@PROPOSAL_GENERATOR_REGISTRY.register()
class ImbRPN(RPN):
    """:class:`detectron2.modeling.proposal_generator.RPN` with samples and losses by keys.

    With default keys its losses, gradients and proposals are RPN's. Objectness is a problem of
    one class: label 0 is an object, 1 background.
    """

    @configurable
    def __init__(
        self,
        *,
        sampler: Sampler,
        criterion: Criterion,
        assigner: Assigner | None = None,
        prior_prob: float = 0.0,
        averages_samples: bool = False,
        stops_together: bool = False,
        **kwargs,
    ):
        """Build the network.

        Args:
            sampler: sampler of the anchors; ``positive_fraction`` is not read.
            criterion: criterion of their losses; ``box_reg_loss_type`` and ``smooth_l1_beta`` are
                not read.
            assigner: assigner of the anchors; None is that of ``anchor_matcher``.
            prior_prob: initial objectness score, in [0, 1); 0 leaves the bias.
            averages_samples: whether the losses are divided by the number of samples, and not by
                the quota, which a sampler may not fill.
            stops_together: whether losses that are not finite in one process stop all of them
                here, so that none waits for it in RoI heads whose losses have a global scope.
            kwargs: see :class:`detectron2.modeling.proposal_generator.RPN`.

        Raises:
            UserError: the sampler needs losses that the criterion does not return.
        """
        super().__init__(**kwargs)
        assigner = assigner or matching_assigner(self.anchor_matcher)
        if self.anchor_boundary_thresh >= 0:
            assigner = IgnoreOutside(assigner, self.anchor_boundary_thresh)
        self.criterion = criterion
        self.learner = Learner(
            site_keys.RPN.place,
            assigner=assigner,
            sampler=sampler,
            criterion=criterion,
            normalizer=num_samples if averages_samples else Quota(self.batch_size_per_image),
            num_classes=1,
            log=get_event_storage,
            stops_together=stops_together,
        )
        set_prior(self.rpn_head.objectness_logits, prior_prob, "MODEL.RPN.PRIOR_PROB")

    @classmethod
    def from_config(cls, cfg, input_shape):
        """Read MODEL.RPN_SAMPLER and MODEL.RPN_LOSS beside RPN's keys."""
        parts = super().from_config(cfg, input_shape)
        refuse_other_strides(
            parts["anchor_generator"], [input_shape[name] for name in parts["in_features"]]
        )
        return {
            **parts,
            "assigner": build_assigner(cfg, site_keys.RPN),
            "sampler": build_sampler(cfg, site_keys.RPN),
            "criterion": build_criterion(cfg, site_keys.RPN),
            "prior_prob": cfg.MODEL.RPN.PRIOR_PROB,
            # Libra R-CNN, which limits the negatives, takes the mean over the remaining samples.
            "averages_samples": cfg.MODEL.RPN_SAMPLER.MAX_NEG_POS_RATIO > 0,
            # Losses of global scope would wait in the RoI heads for a process that stops here.
            "stops_together": any(
                get_key(own, f"{site.cls_loss}.SCOPE") == "global"
                for own, site in sites_of(cfg)
                if site is not site_keys.RPN
            ),
        }

    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Instances], None]:
        """Pass the ground truth on: ``RPN.forward`` hands both results to :meth:`losses`, which
        samples where the predictions are known."""
        return gt_instances, None

    def losses(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        gt_labels: list[Instances],
        pred_anchor_deltas: list[Tensor],
        gt_boxes: None,
    ) -> dict[str, Tensor]:
        """Assign, sample, and compute losses.

        Args:
            anchors: the anchors of each level.
            pred_objectness_logits: (N, R_l) logits of each level.
            gt_labels: ground truth of each image, as :meth:`label_and_sample_anchors` passes it on.
            pred_anchor_deltas: (N, R_l, 4) deltas of each level.
            gt_boxes: not read.

        Returns:
            "loss_rpn_cls" and "loss_rpn_loc", times their weights in the config.
        """
        view = view_dense_head(
            self.in_features,
            anchors,
            self.anchor_generator,
            {
                "logits": [logits[..., None] for logits in pred_objectness_logits],
                "box deltas": pred_anchor_deltas,
            },
            targets_of(gt_labels, has_classes=False),
            self.box2box_transform,
        )
        chosen = self.learner.choose(view.priors, view.targets, view.outputs)
        self._log_counts(chosen)
        losses = self.learner.pay(chosen, view.outputs.take(chosen.rows), view.by_level)
        losses = {_NAMES[name]: loss for name, loss in losses.items()}
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    @staticmethod
    def _log_counts(chosen: Candidates) -> None:
        storage, num_images = get_event_storage(), len(chosen.num_per_image)
        storage.put_scalar("rpn/num_pos_anchors", len(chosen.pos_idxs) / num_images)
        storage.put_scalar("rpn/num_neg_anchors", len(chosen.neg_idxs) / num_images)
