"""The last layers of the box branch, with a criterion."""

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.errors import UserError
from imbdet.learning import Learner
from imbdet.learning.criteria import Criterion
from imbdet.modeling import site_keys
from imbdet.modeling.build import build_criterion
from imbdet.modeling.prior_prob import set_prior
from imbdet.structures import Candidates, Outputs
from imbdet.structures.classifiers import SOFTMAX

# Keys and, in lower case, arguments that switch on losses here in detectron2's main branch.
_LOSS_SWITCHES = ("USE_SIGMOID_CE", "USE_FED_LOSS")


def without_loss_switches(cfg: CfgNode) -> CfgNode:
    """A copy of a config without the keys that switch on losses of detectron2's own predictor.

    Its federated loss would need the class frequencies of LVIS's data sets.
    """
    cfg = cfg.clone()
    cfg.defrost()
    for switch in _LOSS_SWITCHES:
        cfg.MODEL.ROI_BOX_HEAD[switch] = False
    return cfg


def take_over(
    predictor: FastRCNNOutputLayers, cfg: CfgNode, input_shape: ShapeSpec
) -> "ImbFastRCNNOutputLayers":
    """Our layers in the place of detectron2's.

    They have the same weights, unless the classifier needs other columns, and the same box coder.
    Parts that are built after them get the same random numbers.
    """
    with torch.random.fork_rng(devices=[]):
        own = ImbFastRCNNOutputLayers(
            cfg, input_shape, box2box_transform=predictor.box2box_transform
        )
    own.bbox_pred.weight = predictor.bbox_pred.weight
    if own.cls_score.weight.shape == predictor.cls_score.weight.shape:
        own.cls_score.weight = predictor.cls_score.weight
    return own


class ImbFastRCNNOutputLayers(FastRCNNOutputLayers):
    """:class:`detectron2.modeling.roi_heads.FastRCNNOutputLayers` with losses chosen by keys.

    The criterion's classifier makes the scores and sets the number of columns of logits. With
    sigmoid there are K + 1 as in detectron2, of which the last one is neither trained nor used.
    """

    @configurable
    def __init__(self, input_shape, *, criterion: Criterion, prior_prob: float = 0.0, **kwargs):
        """Build the layers, for :class:`ImbROIHeads`.

        Args:
            input_shape: shape of the features, as :class:`FastRCNNOutputLayers` takes it.
            criterion: criterion of the losses; ``smooth_l1_beta`` and ``box_reg_loss_type`` of
                detectron2's class are not read.
            prior_prob: score in [0, 1) with which sigmoid classifiers start; 0 leaves the bias.
            kwargs: see :class:`FastRCNNOutputLayers`.

        Raises:
            UserError: ``use_sigmoid_ce`` or ``use_fed_loss`` of detectron2's main branch is on.
        """
        for switch in map(str.lower, _LOSS_SWITCHES):
            if kwargs.get(switch):
                raise UserError(
                    f"{switch}=True has no effect on ImbFastRCNNOutputLayers: give it a criterion "
                    "of sigmoid losses instead."
                )
        super().__init__(input_shape, **kwargs)
        num_columns = self.num_classes + max(1, criterion.classifier.num_extra)
        if num_columns != self.cls_score.out_features:
            self.cls_score = _output_layer(self.cls_score.in_features, num_columns)
        # CARL's is a box loss, too.
        box_reg_loss_weight = self.loss_weight.get("loss_box_reg", 1.0)
        self.loss_weight = {**self.loss_weight, "loss_carl": box_reg_loss_weight}
        self.criterion = criterion
        set_prior(self.cls_score, prior_prob, "MODEL.ROI_BOX_HEAD.PRIOR_PROB")

    @classmethod
    def from_config(cls, cfg, input_shape):
        """Read MODEL.CLS_LOSS and MODEL.BOX_LOSS beside detectron2's keys.

        Raises:
            UserError: a loss cannot be built, or PRIOR_PROB is set for scores without a prior.
        """
        criterion = build_criterion(cfg, site_keys.ROI_HEADS)
        prior_prob = cfg.MODEL.ROI_BOX_HEAD.PRIOR_PROB
        if prior_prob and not criterion.classifier.has_prior:
            raise UserError(
                f"MODEL.ROI_BOX_HEAD.PRIOR_PROB is {prior_prob}, but only the scores of sigmoid "
                f"losses have a prior: set it to 0, or MODEL.CLS_LOSS.NAME to a sigmoid loss."
            )
        return {
            **super().from_config(without_loss_switches(cfg), input_shape),
            "criterion": criterion,
            "prior_prob": prior_prob,
        }

    def outputs(self, predictions: tuple[Tensor, Tensor]) -> Outputs:
        """The (M, C) logits and (M, 4 K) or (M, 4) deltas, as a learner takes them."""
        logits, deltas = predictions
        classifier = self.criterion.classifier
        return Outputs(
            classifier.columns(logits),
            deltas=deltas,
            box2box_transform=self.box2box_transform,
            classifier=classifier,
        )

    def pay(
        self,
        learner: Learner,
        predictions: tuple[Tensor, Tensor],
        chosen: Candidates,
        prefix: str = "",
    ) -> dict[str, Tensor]:
        """The losses of the chosen proposals, times their weights in the config.

        Args:
            learner: learner whose criterion is that of these layers.
            predictions: predictions for the chosen proposals.
            chosen: candidates that the learner chose.
            prefix: prefix of the names of the scalars that detectron2 logs here, and of
                predictions.
        """
        outputs = self.outputs(predictions)
        self.log_accuracy(outputs, chosen, prefix)
        by_kind = {f"{prefix}logits": predictions[0], f"{prefix}box deltas": predictions[1]}
        losses = learner.pay(chosen, outputs, by_kind)
        return {name: loss * self.loss_weight.get(name, 1.0) for name, loss in losses.items()}

    def losses(
        self, predictions: tuple[Tensor, Tensor], proposals: Sequence[Instances]
    ) -> dict[str, Tensor]:
        """The losses of no image, which are 0; :class:`ImbROIHeads` computes those of proposals.

        Raises:
            UserError: there are proposals.
        """
        if len(proposals) > 0:
            raise UserError(
                "ImbFastRCNNOutputLayers does not know which object a proposal belongs to: use "
                "them in ImbROIHeads, which assigns, samples and pays."
            )
        zero = 0 * sum(values.sum() for values in predictions)
        return {"loss_cls": zero, "loss_box_reg": zero}

    def predict_probs(
        self, predictions: tuple[Tensor, Tensor], proposals: Sequence[Instances]
    ) -> Sequence[Tensor]:
        """Scores of each image's proposals, (R_i, K + 1) in [0, 1], the background last.

        With all classifiers but the softmax the background has the score 0, which nothing reads.
        """
        outputs = self.outputs(predictions)
        if outputs.classifier is SOFTMAX:
            return super().predict_probs(predictions, proposals)
        scores = torch.cat([outputs.scores, torch.zeros_like(outputs.scores[:, :1])], dim=1)
        return scores.split([len(p) for p in proposals])

    def log_accuracy(self, outputs: Outputs, chosen: Candidates, prefix: str = "") -> None:
        """Log the scalars that detectron2 logs, with classes as the classifier predicts them."""
        if len(chosen) == 0:
            return
        pred_classes = outputs.classifier.predict(outputs.logits.detach())
        is_right = pred_classes == chosen.gt_labels
        rows = chosen.pos_idxs
        is_missed = pred_classes[rows] == chosen.num_classes
        counted = [is_right, is_right[rows], is_missed]
        # One transfer from the device for all numbers.
        num_right, num_fg_right, num_missed = torch.stack([x.sum() for x in counted]).tolist()
        storage, name = get_event_storage(), f"{prefix}fast_rcnn"
        storage.put_scalar(f"{name}/cls_accuracy", num_right / len(chosen))
        if len(rows) > 0:
            storage.put_scalar(f"{name}/fg_cls_accuracy", num_fg_right / len(rows))
            storage.put_scalar(f"{name}/false_negative", num_missed / len(rows))


def _output_layer(in_features: int, out_features: int) -> nn.Linear:
    """A layer that is initialized like detectron2's."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer
