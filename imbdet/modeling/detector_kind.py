"""The kind of a config's detector, by the classes that its modules are derived from."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_HEADS_REGISTRY,
)

from imbdet.config_files.keys import get_key
from imbdet.modeling.registry import lookup

# Key of the number of classes of each kind; a one-stage detector is derived from the first.
NUM_CLASSES_KEYS = {
    "RetinaNet": "MODEL.RETINANET.NUM_CLASSES",
    "ROIHeads": "MODEL.ROI_HEADS.NUM_CLASSES",
}


# detectron2's name for the lack of a generator, since the proposals are read from a file.
PRECOMPUTED = "PrecomputedProposals"

_META_ARCHITECTURE = "MODEL.META_ARCHITECTURE"
_PARTS_OF_TWO_STAGES = {
    "MODEL.ROI_HEADS.NAME": ROI_HEADS_REGISTRY,
    "MODEL.PROPOSAL_GENERATOR.NAME": PROPOSAL_GENERATOR_REGISTRY,
}


def modules_of(cfg: CfgNode) -> dict[str, Any]:
    """The modules of a detector by name, classes as a rule.

    Raises:
        UserError: a module does not exist.
    """
    registries = {_META_ARCHITECTURE: META_ARCH_REGISTRY}
    if not is_one_stage(cfg):
        registries |= _PARTS_OF_TWO_STAGES
    names = {key: get_key(cfg, key) for key in registries}
    return {
        name: lookup(registries[key], name, key)
        for key, name in names.items()
        if name != PRECOMPUTED
    }


def bases_of(module: Any) -> list[str]:
    """Names of a class and of all its bases; none if the module is no class."""
    return [base.__name__ for base in module.__mro__] if isinstance(module, type) else []


def num_classes_key(cfg: CfgNode) -> str:
    """The key of the detector's number of classes.

    Raises:
        UserError: there is no such detector.
    """
    return NUM_CLASSES_KEYS["RetinaNet" if is_one_stage(cfg) else "ROIHeads"]


def is_one_stage(cfg: CfgNode) -> bool:
    """Whether the detector is derived from RetinaNet.

    Raises:
        UserError: there is no such detector.
    """
    module = lookup(META_ARCH_REGISTRY, get_key(cfg, _META_ARCHITECTURE), _META_ARCHITECTURE)
    return "RetinaNet" in bases_of(module)
