"""The three places of a detector that take a sampler and losses, and the keys that rule each."""

import functools
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode

from imbdet.errors import UserError
from imbdet.learning import Place


def get_key(cfg: CfgNode, key: str) -> Any:
    """Value of a dotted key such as "MODEL.CLS_LOSS.NAME"."""
    return functools.reduce(getattr, key.split("."), cfg)


@dataclass(frozen=True)
class Site:
    """A place of a detector and the names of its keys; a node is a group of keys.

    Attributes:
        place: what it is to its learner.
        assigner: node of the assigner.
        matcher: node with detectron2's keys for the IoUs of its matcher.
        sampler: node of the samplers.
        quota: node with detectron2's keys for the number of samples per image, or empty if none is
            set.
        weighting: node of the weightings, or empty if it takes none.
        carl: node of CARL, or empty if it has none.
        cls_loss: node of the classification loss.
        box_loss: node of the box loss.
        focal_alpha: where the focal loss finds its alpha.
        focal_gamma: where the focal loss finds its gamma.
        box_reg_loss_type: detectron2's key for the box loss.
        smooth_l1_beta: detectron2's key for smooth L1's beta.
        default_sampler: name of the sampler of an empty NAME.
        default_cls_loss: name of the loss of an empty NAME.
        is_dense: whether the candidates are all anchors, and not some proposals.
        activations: what a score may be made with, "sigmoid" or "softmax".
    """

    place: Place
    assigner: str
    matcher: str
    sampler: str
    quota: str
    weighting: str
    carl: str
    cls_loss: str
    box_loss: str
    focal_alpha: str
    focal_gamma: str
    box_reg_loss_type: str
    smooth_l1_beta: str
    default_sampler: str
    default_cls_loss: str
    is_dense: bool
    activations: tuple[str, ...]

    @property
    def module(self) -> str:
        """Class that a user meets in error messages."""
        return self.place.module

    @property
    def nodes(self) -> list[str]:
        """The nodes of keys that it reads."""
        nodes = (
            self.assigner,
            self.sampler,
            self.weighting,
            self.carl,
            self.cls_loss,
            self.box_loss,
        )
        return [node for node in nodes if node]


RETINANET = Site(
    place=Place("retinanet", "retinanet", "ImbRetinaNet"),
    assigner="MODEL.ASSIGNER",
    matcher="MODEL.RETINANET",
    sampler="MODEL.SAMPLER",
    quota="",
    weighting="MODEL.WEIGHTING",
    carl="MODEL.CARL",
    cls_loss="MODEL.CLS_LOSS",
    box_loss="MODEL.BOX_LOSS",
    focal_alpha="MODEL.RETINANET.FOCAL_LOSS_ALPHA",
    focal_gamma="MODEL.RETINANET.FOCAL_LOSS_GAMMA",
    box_reg_loss_type="MODEL.RETINANET.BBOX_REG_LOSS_TYPE",
    smooth_l1_beta="MODEL.RETINANET.SMOOTH_L1_LOSS_BETA",
    default_sampler="all",
    default_cls_loss="focal",
    is_dense=True,
    activations=("sigmoid",),
)

ROI_HEADS = Site(
    place=Place("roi_heads", "roi_head", "ImbROIHeads"),
    assigner="MODEL.ASSIGNER",
    matcher="MODEL.ROI_HEADS",
    sampler="MODEL.SAMPLER",
    quota="MODEL.ROI_HEADS",
    weighting="MODEL.WEIGHTING",
    carl="MODEL.CARL",
    cls_loss="MODEL.CLS_LOSS",
    box_loss="MODEL.BOX_LOSS",
    focal_alpha="MODEL.CLS_LOSS.FOCAL.ALPHA",
    focal_gamma="MODEL.CLS_LOSS.FOCAL.GAMMA",
    box_reg_loss_type="MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE",
    smooth_l1_beta="MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA",
    default_sampler="random",
    default_cls_loss="softmax_cross_entropy",
    is_dense=False,
    activations=("softmax", "sigmoid"),
)

RPN = Site(
    place=Place("rpn", "rpn", "ImbRPN"),
    assigner="MODEL.RPN_ASSIGNER",
    matcher="MODEL.RPN",
    sampler="MODEL.RPN_SAMPLER",
    quota="MODEL.RPN",
    weighting="",
    carl="",
    cls_loss="MODEL.RPN_LOSS.CLS",
    box_loss="MODEL.RPN_LOSS.BOX",
    focal_alpha="MODEL.RPN_LOSS.CLS.FOCAL.ALPHA",
    focal_gamma="MODEL.RPN_LOSS.CLS.FOCAL.GAMMA",
    box_reg_loss_type="MODEL.RPN.BBOX_REG_LOSS_TYPE",
    smooth_l1_beta="MODEL.RPN.SMOOTH_L1_BETA",
    default_sampler="random",
    default_cls_loss="sigmoid_cross_entropy",
    is_dense=True,
    activations=("sigmoid",),
)

SITES = (RETINANET, ROI_HEADS, RPN)


def sampler_names(cfg: CfgNode, site: Site) -> tuple[str, str]:
    """Of the positives and of the negatives."""
    names = (get_key(cfg, f"{site.sampler}.{kind}.NAME") for kind in ("POSITIVE", "NEGATIVE"))
    positive, negative = (name or site.default_sampler for name in names)
    return positive, negative


def cls_loss_name(cfg: CfgNode, site: Site) -> str:
    """Of the classification loss."""
    return get_key(cfg, f"{site.cls_loss}.NAME") or site.default_cls_loss


def refuse_levels_of_proposals(site: Site, node: str, by_level: bool) -> None:
    """Raise UserError if a loss is to pay level by level where samples belong to no level."""
    if by_level and not site.is_dense:
        raise UserError(
            f"{node}.BY_LEVEL is True, but the samples of {site.module} are proposals, which "
            "belong to no level: set it to False."
        )
