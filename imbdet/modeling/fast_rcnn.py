"""The last layers of the box branch, with a criterion."""

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.errors import UserError
from imbdet.modeling import sites
from imbdet.modeling.build import build_criterion
from imbdet.modeling.finite import require_finite
from imbdet.modeling.prior import set_prior
from imbdet.modeling.recording import RecordsSamples
from imbdet.structures import Candidates, Positives, Predictions, Samples, deltas_of_class

# Losses that detectron2's main branch can switch on in this place, as keys and as arguments.
_LOSS_SWITCHES = ("USE_SIGMOID_CE", "USE_FED_LOSS")


def refuse_loss_switches(cfg: CfgNode) -> None:
    """Raise UserError if a key asks for a loss that is not chosen by MODEL.CLS_LOSS."""
    for switch in _LOSS_SWITCHES:
        if cfg.MODEL.ROI_BOX_HEAD.get(switch, False):
            raise UserError(
                f"MODEL.ROI_BOX_HEAD.{switch} has no effect on ImbROIHeads: "
                f"set MODEL.CLS_LOSS.NAME instead."
            )


class ImbFastRCNNOutputLayers(RecordsSamples, FastRCNNOutputLayers):
    """:class:`detectron2.modeling.roi_heads.FastRCNNOutputLayers` with losses chosen by keys.

    Scores are made with softmax or sigmoid, as the classification loss asks. There are always
    K + 1 columns of logits; with sigmoid the last one is neither trained nor used.
    """

    site = sites.ROI_HEADS

    @configurable
    def __init__(
        self,
        input_shape,
        *,
        criterion: nn.Module,
        activation: str,
        prior_prob: float = 0.0,
        **kwargs,
    ):
        """Build the layers, for :class:`ImbROIHeads`.

        Args:
            input_shape: of the features, as :class:`FastRCNNOutputLayers` takes it.
            criterion: what proposals pay to; ``smooth_l1_beta`` and ``box_reg_loss_type`` of
                detectron2's class are not read.
            activation: "softmax" for softmax cross-entropy, "sigmoid" for all other losses.
            prior_prob: score in [0, 1) with which sigmoid classifiers start; 0 leaves the bias.
            kwargs: see :class:`FastRCNNOutputLayers`.

        Raises:
            UserError: ``use_sigmoid_ce`` or ``use_fed_loss`` of detectron2's main branch is on.
        """
        for switch in map(str.lower, _LOSS_SWITCHES):
            if kwargs.get(switch):
                raise UserError(
                    f"{switch}=True has no effect on ImbFastRCNNOutputLayers: give it a criterion "
                    "of sigmoid losses and activation='sigmoid' instead."
                )
        super().__init__(input_shape, **kwargs)
        # CARL's is a box loss, too.
        box_reg_loss_weight = self.loss_weight.get("loss_box_reg", 1.0)
        self.loss_weight = {**self.loss_weight, "loss_carl": box_reg_loss_weight}
        self.criterion = criterion
        self.activation = activation
        set_prior(self.cls_score, prior_prob, "MODEL.ROI_BOX_HEAD.PRIOR_PROB")

    @classmethod
    def from_config(cls, cfg, input_shape):
        """Read MODEL.CLS_LOSS and MODEL.BOX_LOSS beside detectron2's keys."""
        refuse_loss_switches(cfg)
        criterion, activation = build_criterion(cfg, cls.site)
        prior_prob = cfg.MODEL.ROI_BOX_HEAD.PRIOR_PROB
        if prior_prob and activation != "sigmoid":
            raise UserError(
                f"MODEL.ROI_BOX_HEAD.PRIOR_PROB is {prior_prob}, but only the scores of sigmoid "
                f"losses have a prior: set it to 0, or MODEL.CLS_LOSS.NAME to a sigmoid loss."
            )
        return {
            **super().from_config(cfg, input_shape),
            "criterion": criterion,
            "activation": activation,
            "prior_prob": prior_prob,
        }

    def losses(
        self, predictions: tuple[Tensor, Tensor], proposals: Sequence[Instances]
    ) -> dict[str, Tensor]:
        """Weigh and pay.

        Args:
            predictions: (M, K + 1) logits and (M, 4 K) or (M, 4) deltas.
            proposals: of each image, as :meth:`ImbROIHeads.label_and_sample_proposals` made them.

        Returns:
            "loss_cls" and "loss_box_reg", divided by the number of samples that are not ignored
            (see the comment in detectron2's ``box_reg_loss``), times their weights in the config.
        """
        samples = self._chosen_samples(predictions, proposals)
        self._log_accuracy(samples)
        num_samples = self.criterion.count(int((samples.gt_labels >= 0).sum()), samples)
        losses, record = self.criterion(samples, max(num_samples, 1))
        pred_logits, pred_deltas = predictions
        by_kind = {"logits": pred_logits, "box deltas": pred_deltas}

        def locate() -> dict[str, Tensor]:
            return {"boxes": _boxes_of(proposals)}

        require_finite(losses, by_kind, self.site.module, record, locate)
        self.record(record, locate)
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def predict_probs(
        self, predictions: tuple[Tensor, Tensor], proposals: Sequence[Instances]
    ) -> Sequence[Tensor]:
        """Scores of each image's proposals, (R_i, K + 1) in [0, 1], the background last."""
        if self.activation == "softmax":
            return super().predict_probs(predictions, proposals)
        scores = predictions[0].sigmoid()
        scores = torch.cat([scores[:, :-1], torch.zeros_like(scores[:, -1:])], dim=1)
        return scores.split([len(p) for p in proposals])

    @torch.no_grad()
    def preview(
        self,
        candidates: Candidates,
        predictions: tuple[Tensor, Tensor],
        proposals: Sequence[Instances],
        gt_boxes: Tensor,
        needs: frozenset[str],
    ) -> Predictions:
        """What the detector says of all proposals, for a sampler.

        Args:
            candidates: the proposals as they were assigned.
            predictions: see :meth:`losses`, of all proposals.
            proposals: of each image, with "proposal_boxes".
            gt_boxes: (G, 4) ground truth of the batch.
            needs: see :class:`PoolSampler`.
        """
        boxes = _boxes_of(proposals)
        samples = self._samples(
            candidates, predictions, boxes, gt_boxes[candidates.gt_idxs[candidates.pos_idxs]]
        )
        scores = None
        if "scores" in needs:
            scores = torch.cat(list(self.predict_probs(predictions, proposals)))[:, :-1]
        return Predictions(
            cls_losses=self.criterion.preview(samples) if "cls_losses" in needs else None,
            scores=scores,
            pred_deltas=predictions[1],
            boxes=boxes,
            gt_boxes=gt_boxes,
            box2box_transform=self.box2box_transform,
        )

    def _chosen_samples(
        self, predictions: tuple[Tensor, Tensor], proposals: Sequence[Instances]
    ) -> Samples:
        """Samples of proposals that carry what is known of them."""
        if not proposals:  # of no image, as detectron2's layers take them
            nothing = predictions[0].new_zeros(0)
            chosen = Candidates(nothing.long(), nothing.long(), nothing, [], self.num_classes)
            return self._samples(chosen, predictions, *[nothing.view(0, 4)] * 2)
        chosen = Candidates(
            gt_labels=torch.cat([p.gt_classes for p in proposals]),
            gt_idxs=torch.cat([p.gt_idxs for p in proposals]),
            ious=torch.cat([p.matched_ious for p in proposals]),
            num_per_image=[len(p) for p in proposals],
            num_classes=self.num_classes,
        )
        importance = None
        if all(p.has("importance") for p in proposals):
            importance = torch.cat([p.importance for p in proposals])
        # Without ground truth there are no "gt_boxes", and no positive that would need them.
        gt_boxes = torch.cat(
            [(p.gt_boxes if p.has("gt_boxes") else p.proposal_boxes).tensor for p in proposals]
        )
        pos_gt_boxes = gt_boxes[chosen.pos_idxs]
        return self._samples(chosen, predictions, _boxes_of(proposals), pos_gt_boxes, importance)

    def _samples(
        self,
        chosen: Candidates,
        predictions: tuple[Tensor, Tensor],
        boxes: Tensor,
        pos_gt_boxes: Tensor,
        importance: Tensor | None = None,
    ) -> Samples:
        """Join proposals (M, 4) with their predictions and the ground truth (P, 4)."""
        pred_logits, pred_deltas = predictions
        if self.activation == "sigmoid":
            pred_logits = pred_logits[:, :-1]
        rows = chosen.pos_idxs
        positives = Positives(
            boxes=boxes[rows],
            gt_boxes=pos_gt_boxes,
            pred_deltas=deltas_of_class(pred_deltas[rows], chosen.gt_labels[rows]),
            box2box_transform=self.box2box_transform,
        )
        return Samples.join(
            chosen, pred_logits=pred_logits, positives=positives, importance=importance
        )

    def _log_accuracy(self, samples: Samples) -> None:
        """Log the scalars that detectron2 logs, with the background as sigmoid scores mean it."""
        gt_classes = samples.gt_labels
        if len(gt_classes) == 0:
            return
        best_logits, pred_classes = samples.pred_logits.detach().max(dim=1)
        if self.activation == "sigmoid":
            pred_classes = pred_classes.masked_fill(best_logits < 0, self.num_classes)
        is_right = pred_classes == gt_classes
        storage = get_event_storage()
        storage.put_scalar("fast_rcnn/cls_accuracy", is_right.float().mean().item())
        if len(samples.pos_idxs) > 0:
            is_missed = pred_classes[samples.pos_idxs] == self.num_classes
            storage.put_scalar(
                "fast_rcnn/fg_cls_accuracy", is_right[samples.pos_idxs].float().mean().item()
            )
            storage.put_scalar("fast_rcnn/false_negative", is_missed.float().mean().item())


def _boxes_of(proposals: Sequence[Instances]) -> Tensor:
    """(M, 4) boxes of all images' proposals."""
    return torch.cat([p.proposal_boxes.tensor for p in proposals])
