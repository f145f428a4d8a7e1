"""All methods that a YAML file can name, for a reader who looks for one."""

import inspect
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from fvcore.common.registry import Registry

from imbdet.config.keys import leaves
from imbdet.modeling import registry
from imbdet.modeling.sites import ROI_HEADS, RPN, get_key


class Kind(NamedTuple):
    """Methods of the same kind: what they are, the keys that name one, where their options are."""

    title: str
    registry: Registry
    keys: tuple[str, ...]
    options: str


class Method(NamedTuple):
    """A method.

    Attributes:
        name: the value of the key.
        description: a sentence.
        source: authors, place and address of the paper; empty where there is none.
        options: keys of its own and their defaults.
    """

    name: str
    description: str
    source: str
    options: dict[str, Any]


KINDS = (
    Kind(
        "Classification losses",
        registry.CLS_LOSS_REGISTRY,
        (f"{ROI_HEADS.cls_loss}.NAME", f"{RPN.cls_loss}.NAME"),
        ROI_HEADS.cls_loss,
    ),
    Kind(
        "Box losses",
        registry.BOX_LOSS_REGISTRY,
        (f"{ROI_HEADS.box_loss}.NAME", f"{RPN.box_loss}.NAME"),
        ROI_HEADS.box_loss,
    ),
    Kind(
        "Samplers of positives, two-stage (RetinaNet takes all positives)",
        registry.POSITIVE_SAMPLER_REGISTRY,
        (f"{ROI_HEADS.sampler}.POSITIVE.NAME", f"{RPN.sampler}.POSITIVE.NAME"),
        ROI_HEADS.sampler,
    ),
    Kind(
        "Samplers of negatives",
        registry.NEGATIVE_SAMPLER_REGISTRY,
        (f"{ROI_HEADS.sampler}.NEGATIVE.NAME", f"{RPN.sampler}.NEGATIVE.NAME"),
        ROI_HEADS.sampler,
    ),
    Kind(
        "Weightings",
        registry.WEIGHTING_REGISTRY,
        (f"{ROI_HEADS.weighting}.NAMES",),
        ROI_HEADS.weighting,
    ),
)


def list_methods(kind: Kind, cfg: CfgNode) -> list[Method]:
    """The methods of a kind in the order of their registration; options are those of ``cfg``."""
    methods = []
    for name, function in kind.registry:
        description, _, source = (inspect.getdoc(function) or "").partition("\n\n")
        node = get_key(cfg, kind.options).get(name.upper())
        options = dict(leaves(node, f"{kind.options}.{name.upper()}.")) if node else {}
        methods.append(Method(name, " ".join(description.split()), source, options))
    return methods
