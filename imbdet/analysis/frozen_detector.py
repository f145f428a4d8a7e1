"""All candidates of an image, with the outputs of a frozen detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from imbdet.data.summary import require_classes
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.errors import UserError
from imbdet.learning import learners_of
from imbdet.modeling import ImbCascadeROIHeads, ImbDense, ImbROIHeads, build_model
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers
from imbdet.modeling.ground_truth import targets_of
from imbdet.modeling.proposals import priors_of
from imbdet.modeling.sites import sites_of
from imbdet.structures import Candidates, Outputs, Priors, Targets
from imbdet.structures.classifiers import Classifier


@dataclass(frozen=True, eq=False)
class ImageCandidates:
    """The M candidates of one image before any is chosen.

    Attributes:
        candidates: candidates with outputs and losses; those whose outputs are not finite are
            ignored ones.
        targets: the ground truth, in pixels of the network's input.
        num_appended: number of the last candidates that are the ground truth itself.
        num_not_finite: number of candidates that are ignored for their outputs.
        scale: (width, height) of the original image in relation to the network's input.
    """

    candidates: Candidates
    targets: Instances
    num_appended: int
    num_not_finite: int
    scale: tuple[float, float]

    @property
    def own_positives(self) -> Tensor:
        """(P,) int64 rows of the positives without the appended ground truth."""
        rows = self.candidates.pos_idxs
        return rows[rows < len(self.candidates) - self.num_appended]


@dataclass(frozen=True, eq=False)
class Sight:
    """The outputs of a detector for a batch.

    Attributes:
        priors: all priors that may become candidates.
        targets: the ground truth.
        outputs: outputs for the priors of all images.
        num_appended: number of proposals that are the ground truth itself, the last of each image.
        scales: scale of each image, see :class:`ImageCandidates`.
    """

    priors: Priors
    targets: Targets
    outputs: Outputs
    num_appended: int
    scales: Sequence[tuple[float, float]]


class FrozenDetector:
    """A detector in evaluation mode, whose candidates are those of a training.

    The candidates of a cascade are those of its first stage, which chooses among the proposals of
    the RPN.

    Attributes:
        model: the detector.
        learner: learner of the site that samples.
        cfg: the config as this site reads it.
        site: names of the keys of this site.
        training_images: number of images with each class that the weights learned from, by name of
            the class; empty where it is not known.
    """

    def __init__(self, cfg: CfgNode):
        """Build the model and load MODEL.WEIGHTS; without any it stays untrained.

        Args:
            cfg: the config, the first data set of whose DATASETS.TEST is loaded already.

        Raises:
            UserError: the weights do not fit, or learned other classes than those of the data set,
                or the detector has no site that samples.
        """
        self.model = build_model(_with_training_proposals(cfg)).eval()
        self.training_images: dict[str, int] = {}
        if cfg.MODEL.WEIGHTS:
            checkpointer = SafeCheckpointer(self.model, strict=True)
            checkpointer.load(cfg.MODEL.WEIGHTS)
            if checkpointer.learned is not None:
                learned = checkpointer.learned.classes
                weights = f"The weights in '{cfg.MODEL.WEIGHTS}'"
                require_classes(learned, cfg.DATASETS.TEST[0], weights)
                self.training_images = checkpointer.learned.training_images
        owner = getattr(self.model, "roi_heads", self.model)
        if not isinstance(owner, (ImbDense, ImbROIHeads, ImbCascadeROIHeads)):
            raise UserError(
                "The analysis needs a detector that samples by keys: set MODEL.META_ARCHITECTURE "
                "to 'ImbRetinaNet' or 'ImbDense', or MODEL.ROI_HEADS.NAME to 'ImbROIHeads' or "
                "'ImbCascadeROIHeads'."
            )
        self.learner = next(iter(learners_of(owner)))
        self.cfg, self.site = next(
            place for place in sites_of(cfg) if place.site.place == self.learner.place
        )

    @property
    def is_two_stage(self) -> bool:
        """Whether the candidates are proposals, not anchors."""
        return not isinstance(self.model, ImbDense)

    @property
    def has_stages(self) -> bool:
        """Whether it is a cascade, whose detections are not made of these candidates alone."""
        return self.is_two_stage and isinstance(self.model.roi_heads, ImbCascadeROIHeads)

    @property
    def classifier(self) -> Classifier:
        """The classifier that makes its scores."""
        return self.learner.criterion.classifier

    @property
    def has_sample_losses(self) -> bool:
        """Whether each sample has a loss of its own; otherwise its cross-entropy is used."""
        return self.learner.criterion.has_sample_losses

    @property
    def cls_layer(self) -> nn.Conv2d | nn.Linear:
        """The last layer of its classification, whose outputs are the logits."""
        return self._predictor.cls_score if self.is_two_stage else self.model.head.cls_score

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """Factors of its losses by name, 1 for all others."""
        owner = self._predictor if self.is_two_stage else self.model
        return owner.loss_weight

    @property
    def _predictor(self) -> ImbFastRCNNOutputLayers:
        """The box predictor of a two-stage detector, in a cascade that of the first stage."""
        predictor = self.model.roi_heads.box_predictor
        return predictor[0] if self.has_stages else predictor

    @torch.no_grad()
    def look(self, batch: list[dict], *, append_gt: bool = True) -> Sight:
        """Forward a batch.

        Args:
            batch: detectron2's dicts with "image" and "instances".
            append_gt: whether the ground truth is among the proposals if the config says so, as in
                a training.
        """
        images = self.model.preprocess_image(batch)
        targets = [image["instances"].to(self.model.device) for image in batch]
        features = self.model.backbone(images.tensor)
        num_appended = 0
        if self.is_two_stage:
            heads = self.model.roi_heads
            if self.model.proposal_generator is None:
                found = [image["proposals"].to(self.model.device) for image in batch]
            else:
                found, _ = self.model.proposal_generator(images, features, None)
            proposals = heads.append_gt(found, targets) if append_gt else found
            num_appended = sum(map(len, proposals)) - sum(map(len, found))
            priors, outputs = priors_of(proposals), heads.look(features, proposals)
        else:
            levels = [features[name] for name in self.model.head_in_features]
            view = self.model.view(levels, self.model.head(levels), targets)
            priors, outputs = view.priors, view.outputs
        scales = [
            (image["width"] / width, image["height"] / height)
            for image, (height, width) in zip(batch, images.image_sizes, strict=True)
        ]
        return Sight(priors, targets_of(targets), outputs, num_appended, scales)

    @torch.no_grad()
    def collect(self, image: dict) -> ImageCandidates:
        """Forward one image.

        Args:
            image: detectron2's dict with "image" and "instances".
        """
        seen = self.look([image])
        needs = frozenset({"outputs", "losses"} if self.has_sample_losses else {"outputs"})
        candidates = self.learner.candidates(seen.priors, seen.targets, seen.outputs, needs)
        candidates = _with_losses(candidates)
        candidates, num_not_finite = _ignore_not_finite(candidates)
        targets = image["instances"].to(self.model.device)
        return ImageCandidates(
            candidates, targets, seen.num_appended, num_not_finite, seen.scales[0]
        )


def _with_training_proposals(cfg: CfgNode) -> CfgNode:
    """The config of a detector that proposes as many boxes in evaluation mode as in training."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN
    return cfg


def _with_losses(candidates: Candidates) -> Candidates:
    """The candidates, with cross-entropies of sigmoid scores where no losses are known."""
    if candidates.cls_losses is not None:
        return candidates
    scores, rows = candidates.require_outputs().scores.float(), candidates.pos_idxs
    targets = torch.zeros_like(scores)
    targets[rows, candidates.gt_labels[rows]] = 1
    # The function refuses NaN, which `_ignore_not_finite` handles.
    losses = F.binary_cross_entropy(scores.nan_to_num(0.5), targets, reduction="none").sum(dim=1)
    return replace(candidates, cls_losses=losses)


def _ignore_not_finite(candidates: Candidates) -> tuple[Candidates, int]:
    """The candidates, with those that are not finite ignored, and the number of these."""
    outputs = candidates.require_outputs()
    is_finite = (
        candidates.require_losses().isfinite()
        & outputs.scores.isfinite().all(dim=1)
        & outputs.deltas.isfinite().all(dim=1)
    )
    candidates = replace(
        candidates,
        gt_labels=candidates.gt_labels.masked_fill(~is_finite, -1),
        gt_idxs=candidates.gt_idxs.masked_fill(~is_finite, -1),
    )
    return candidates, int((~is_finite).sum())
