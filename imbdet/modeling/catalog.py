"""All methods that a YAML file can name, for a reader who looks for one."""

import inspect
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from fvcore.common.registry import Registry

from imbdet.keys import leaves
from imbdet.modeling import registry
from imbdet.modeling.sites import ROI_HEADS, RPN, get_key


class Kind(NamedTuple):
    """Methods of the same kind.

    Attributes:
        title: what they are.
        registry: where they are.
        part: attribute of a :class:`Site` that tells the node of their keys.
        key: of that node, names one or several.
    """

    title: str
    registry: Registry
    part: str
    key: str

    @property
    def keys(self) -> list[str]:
        """Full names of the keys: of the detector and, where it has one, of the RPN."""
        nodes = [getattr(site, self.part) for site in (ROI_HEADS, RPN)]
        return [f"{node}.{self.key}" for node in nodes if node]


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
    Kind("Classification losses", registry.CLS_LOSS_REGISTRY, "cls_loss", "NAME"),
    Kind("Box losses", registry.BOX_LOSS_REGISTRY, "box_loss", "NAME"),
    Kind(
        "Samplers of positives, two-stage (RetinaNet takes all positives)",
        registry.POSITIVE_SAMPLER_REGISTRY,
        "sampler",
        "POSITIVE.NAME",
    ),
    Kind("Samplers of negatives", registry.NEGATIVE_SAMPLER_REGISTRY, "sampler", "NEGATIVE.NAME"),
    Kind("Weightings", registry.WEIGHTING_REGISTRY, "weighting", "NAMES"),
)


def list_methods(kind: Kind, cfg: CfgNode) -> list[Method]:
    """The methods of a kind in the order of their registration; options are those of ``cfg``."""
    methods, options_of = [], getattr(ROI_HEADS, kind.part)
    for name, function in kind.registry:
        description, _, source = (inspect.getdoc(function) or "").partition("\n\n")
        node = get_key(cfg, options_of).get(name.upper())
        options = dict(leaves(node, f"{options_of}.{name.upper()}.")) if node else {}
        methods.append(Method(name, " ".join(description.split()), source, options))
    return methods
