"""The places of detectors that take an assigner, a sampler and losses, and the keys of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from detectron2.config import CfgNode

from imbdet.config_files.keys import get_key
from imbdet.errors import UserError
from imbdet.learning import Place


@dataclass(frozen=True)
class Site:
    """A place of a detector and the names of its keys; a node is a group of keys.

    Attributes:
        place: place of its learner.
        head: detectron2's node of this place, with the IoUs of its matcher and, if ``has_quota``,
            the quota of samples per image.
        assigner: node of the assigner.
        sampler: node of the samplers.
        weighting: node of the weightings, or empty if the place has none.
        carl: node of CARL, or empty if the place has none.
        cls_loss: node of the classification loss.
        box_loss: node of the box loss.
        box_reg_loss_type: detectron2's key for the box loss.
        detectron2_options: detectron2's keys for options of methods, by names such as
            "smooth_l1.beta".
        default_sampler: name of the sampler for an empty NAME.
        default_cls_loss: name of the loss for an empty NAME.
        num_classes: key of the number of classes, or empty if objects have none.
        cls_loss_switches: names of classification losses by the keys of detectron2 that choose
            them; the first key that is on counts.
        is_dense: whether the candidates are all anchors, and not some proposals.
        has_quota: whether a number of samples per image is set.
        parts: node of the parts of the head, or empty if they are fixed.
    """

    place: Place
    head: str
    assigner: str
    sampler: str
    weighting: str
    carl: str
    cls_loss: str
    box_loss: str
    box_reg_loss_type: str
    detectron2_options: Mapping[str, str]
    default_sampler: str
    default_cls_loss: str
    num_classes: str
    is_dense: bool
    has_quota: bool
    cls_loss_switches: Mapping[str, str] = field(default_factory=dict)
    parts: str = ""

    def takes_activation(self, name: str) -> bool:
        """Whether scores may be made by an activation: dense heads have columns of classes only."""
        return name == "sigmoid" or not self.is_dense

    def option_key(self, node: str, method: str, option: str) -> str:
        """The key of a method's option, which is detectron2's if that has one here.

        Args:
            node: node of the method's kind.
            method: name of the method.
            option: name of the option.
        """
        own = f"{node}.{method.upper()}.{option.upper()}"
        return self.detectron2_options.get(f"{method}.{option}", own)

    @property
    def module(self) -> str:
        """Class that error messages name."""
        return self.place.module

    @property
    def nodes(self) -> list[str]:
        """The nodes of keys that the site reads."""
        nodes = (
            self.assigner,
            self.sampler,
            self.weighting,
            self.carl,
            self.cls_loss,
            self.box_loss,
            self.parts,
        )
        return [node for node in nodes if node]


class ReadingSite(NamedTuple):
    """A site of a detector and the config that it reads.

    Attributes:
        cfg: config of the detector; a stage of a cascade has keys of its own.
        site: site with the names of its keys.
    """

    cfg: CfgNode
    site: Site


RETINANET = Site(
    place=Place("retinanet", "retinanet", "ImbRetinaNet"),
    head="MODEL.RETINANET",
    assigner="MODEL.ASSIGNER",
    sampler="MODEL.SAMPLER",
    weighting="MODEL.WEIGHTING",
    carl="MODEL.CARL",
    cls_loss="MODEL.CLS_LOSS",
    box_loss="MODEL.BOX_LOSS",
    box_reg_loss_type="MODEL.RETINANET.BBOX_REG_LOSS_TYPE",
    detectron2_options={
        "focal.alpha": "MODEL.RETINANET.FOCAL_LOSS_ALPHA",
        "focal.gamma": "MODEL.RETINANET.FOCAL_LOSS_GAMMA",
        "smooth_l1.beta": "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA",
    },
    default_sampler="all",
    default_cls_loss="focal",
    num_classes="MODEL.RETINANET.NUM_CLASSES",
    is_dense=True,
    has_quota=False,
)

DENSE = replace(RETINANET, place=Place("dense", "dense", "ImbDense"), parts="MODEL.DENSE")

ROI_HEADS = Site(
    place=Place("roi_heads", "roi_head", "ImbROIHeads"),
    head="MODEL.ROI_HEADS",
    assigner="MODEL.ASSIGNER",
    sampler="MODEL.SAMPLER",
    weighting="MODEL.WEIGHTING",
    carl="MODEL.CARL",
    cls_loss="MODEL.CLS_LOSS",
    box_loss="MODEL.BOX_LOSS",
    box_reg_loss_type="MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE",
    detectron2_options={
        "smooth_l1.beta": "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA",
        "federated.num_classes": "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES",
        "federated.power": "MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER",
    },
    default_sampler="random",
    default_cls_loss="softmax_cross_entropy",
    num_classes="MODEL.ROI_HEADS.NUM_CLASSES",
    cls_loss_switches={
        "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": "federated",
        "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": "sigmoid_cross_entropy",
    },
    is_dense=False,
    has_quota=True,
)

# The site of all stages of a cascade; see imbdet.modeling.cascade_stages.
CASCADE = replace(ROI_HEADS, place=Place("roi_heads", "roi_head", "ImbCascadeROIHeads"))

RPN = Site(
    place=Place("rpn", "rpn", "ImbRPN"),
    head="MODEL.RPN",
    assigner="MODEL.RPN_ASSIGNER",
    sampler="MODEL.RPN_SAMPLER",
    weighting="",
    carl="",
    cls_loss="MODEL.RPN_LOSS.CLS",
    box_loss="MODEL.RPN_LOSS.BOX",
    box_reg_loss_type="MODEL.RPN.BBOX_REG_LOSS_TYPE",
    detectron2_options={
        "smooth_l1.beta": "MODEL.RPN.SMOOTH_L1_BETA",
    },
    default_sampler="random",
    default_cls_loss="sigmoid_cross_entropy",
    num_classes="",
    is_dense=True,
    has_quota=True,
)

SITES = (RETINANET, DENSE, ROI_HEADS, CASCADE, RPN)


def sampler_names(cfg: CfgNode, site: Site) -> tuple[str, str]:
    """Names of the samplers of positives and of negatives."""
    names = (get_key(cfg, f"{site.sampler}.{kind}.NAME") for kind in ("POSITIVE", "NEGATIVE"))
    positive, negative = (name or site.default_sampler for name in names)
    return positive, negative


def cls_loss_name(cfg: CfgNode, site: Site) -> str:
    """Name of the classification loss.

    Raises:
        UserError: a switch of detectron2's chooses another loss than our key.
    """
    key = f"{site.cls_loss}.NAME"
    name = get_key(cfg, key)
    for switch, chosen in site.cls_loss_switches.items():
        if get_key(cfg, switch):
            if name not in ("", chosen):
                raise UserError(
                    f"{switch} is True, which chooses {chosen!r}, but {key} is {name!r}: set only "
                    "one of them."
                )
            return chosen
    return name or site.default_cls_loss


def num_classes_of(cfg: CfgNode, site: Site) -> int:
    """Number of classes of the site; 1 if its objects have none."""
    return get_key(cfg, site.num_classes) if site.num_classes else 1


def refuse_levels_of_proposals(site: Site, node: str, by_level: bool) -> None:
    """Raise UserError if a loss is computed level by level where samples belong to no level."""
    if by_level and not site.is_dense:
        raise UserError(
            f"{node}.BY_LEVEL is True, but the samples of {site.module} are proposals, which "
            "belong to no level: set it to False."
        )
