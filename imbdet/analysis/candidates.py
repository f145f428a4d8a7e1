"""All candidates of an image, as a frozen detector sees them."""

from dataclasses import dataclass, replace

import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from imbdet.data.summary import require_classes
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.errors import UserError
from imbdet.modeling import ImbRetinaNet, ImbROIHeads, build_model
from imbdet.modeling.sites import RETINANET, ROI_HEADS
from imbdet.structures import Candidates, Predictions


@dataclass(frozen=True, eq=False)
class ImageCandidates:
    """The M candidates of one image before any is chosen.

    Attributes:
        candidates: with scores, losses and deltas as predictions. Those whose predictions are not
            finite are ignored ones.
        targets: the ground truth, in pixels of the network's input.
        num_appended: how many of the last candidates are the ground truth itself.
        num_not_finite: how many were ignored for their predictions.
        scale: (width, height) of the original image in relation to the network's input.
    """

    candidates: Candidates
    targets: Instances
    num_appended: int
    num_not_finite: int
    scale: tuple[float, float]

    @property
    def own_positives(self) -> Tensor:
        """(P,) int64, rows of the positives that the detector found, without appended boxes."""
        rows = self.candidates.pos_idxs
        return rows[rows < len(self.candidates) - self.num_appended]


class FrozenDetector:
    """A detector in evaluation mode, whose candidates are those of a training.

    Attributes:
        model: the detector.
        site: where it samples.
        activation: what its scores are made with, "softmax" or "sigmoid".
    """

    def __init__(self, cfg: CfgNode):
        """Build the model and load MODEL.WEIGHTS; without any it stays untrained.

        Args:
            cfg: the config. The first data set of DATASETS.TEST is loaded.

        Raises:
            UserError: the weights do not fit, or learned other classes than those of the data set,
                or the detector has no place that samples.
        """
        self.model = build_model(_with_training_proposals(cfg)).eval()
        if cfg.MODEL.WEIGHTS:
            checkpointer = SafeCheckpointer(self.model, strict=True)
            checkpointer.load(cfg.MODEL.WEIGHTS)
            if checkpointer.learned is not None:
                learned = checkpointer.learned.classes
                weights = f"The weights in '{cfg.MODEL.WEIGHTS}'"
                require_classes(learned, cfg.DATASETS.TEST[0], weights)
        if isinstance(self.model, ImbRetinaNet):
            self.site, self.activation = RETINANET, "sigmoid"
            self._criterion = self.model.criterion
        elif isinstance(getattr(self.model, "roi_heads", None), ImbROIHeads):
            self.site, self.activation = ROI_HEADS, self._predictor.activation
            self._criterion = self._predictor.criterion
        else:
            raise UserError(
                "The analysis needs a detector that samples by keys: set MODEL.META_ARCHITECTURE "
                "to 'ImbRetinaNet', or MODEL.ROI_HEADS.NAME to 'ImbROIHeads'."
            )

    @property
    def is_two_stage(self) -> bool:
        """Whether the candidates are proposals, not anchors."""
        return self.site is ROI_HEADS

    @property
    def _predictor(self) -> nn.Module:
        return self.model.roi_heads.box_predictor

    @property
    def has_sample_losses(self) -> bool:
        """Whether each sample pays a loss for itself; otherwise cross-entropy stands in for it."""
        return hasattr(self._criterion, "preview")

    @torch.no_grad()
    def collect(self, image: dict) -> ImageCandidates:
        """Forward one image.

        Args:
            image: detectron2's dict with "image" and "instances".
        """
        images = self.model.preprocess_image([image])
        targets = image["instances"].to(self.model.device)
        features = self.model.backbone(images.tensor)
        if self.is_two_stage:
            candidates, num_appended = self._proposals(images, features, targets)
        else:
            candidates, num_appended = self._anchors(features, targets), 0
        candidates, num_not_finite = _ignore_not_finite(candidates)
        height, width = images.image_sizes[0]
        scale = image["width"] / width, image["height"] / height
        return ImageCandidates(candidates, targets, num_appended, num_not_finite, scale)

    @property
    def _needs(self) -> frozenset[str]:
        losses = {"cls_losses"} if self.has_sample_losses else set()
        return frozenset({"scores", "deltas"} | losses)

    def _proposals(
        self, images: object, features: dict[str, Tensor], targets: Instances
    ) -> tuple[Candidates, int]:
        heads = self.model.roi_heads
        found, _ = self.model.proposal_generator(images, features, None)
        proposals, candidates = heads.assign_proposals(found, [targets])
        predictions = heads.preview(candidates, proposals, [targets], features, self._needs)
        candidates = replace(candidates, predictions=_with_losses(predictions, candidates))
        return candidates, len(proposals[0]) - len(found[0])

    def _anchors(self, features: dict[str, Tensor], targets: Instances) -> Candidates:
        levels = [features[name] for name in self.model.head_in_features]
        candidates, outputs = self.model.assign_anchors(levels, self.model.head(levels), [targets])
        candidates = outputs.preview(candidates, self._criterion, self._needs)
        return replace(candidates, predictions=_with_losses(candidates.predictions, candidates))


def _with_training_proposals(cfg: CfgNode) -> CfgNode:
    """The config of a detector that proposes as many boxes in evaluation mode as in training."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN
    return cfg


def _with_losses(predictions: Predictions, candidates: Candidates) -> Predictions:
    """The predictions, with cross-entropies of sigmoid scores where no losses are known."""
    if predictions.cls_losses is not None:
        return predictions
    scores, rows = predictions.scores.float(), candidates.pos_idxs
    targets = torch.zeros_like(scores)
    targets[rows, candidates.gt_labels[rows]] = 1
    # It refuses NaN, which `_ignore_not_finite` deals with.
    losses = F.binary_cross_entropy(scores.nan_to_num(0.5), targets, reduction="none").sum(dim=1)
    return replace(predictions, cls_losses=losses)


def _ignore_not_finite(candidates: Candidates) -> tuple[Candidates, int]:
    """Candidates of which no sampler meets a NaN, and how many had one."""
    predictions = candidates.predictions
    is_finite = (
        predictions.cls_losses.isfinite()
        & predictions.scores.isfinite().all(dim=1)
        & predictions.pred_deltas.isfinite().all(dim=1)
    )
    candidates = replace(
        candidates,
        gt_labels=candidates.gt_labels.masked_fill(~is_finite, -1),
        gt_idxs=candidates.gt_idxs.masked_fill(~is_finite, -1),
    )
    return candidates, int((~is_finite).sum())
