"""What kind of detector a config describes, by the classes that its modules are derived from."""

from detectron2.config import CfgNode
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_HEADS_REGISTRY,
)
from fvcore.common.registry import Registry

# Where each kind has its number of classes; a one-stage detector is derived from the first.
NUM_CLASSES_KEYS = {
    "RetinaNet": "MODEL.RETINANET.NUM_CLASSES",
    "ROIHeads": "MODEL.ROI_HEADS.NUM_CLASSES",
}


def modules_of(cfg: CfgNode) -> dict[str, Registry]:
    """Names of the classes that a detector is made of, and where they are registered."""
    modules = {cfg.MODEL.META_ARCHITECTURE: META_ARCH_REGISTRY}
    if not _is_one_stage(cfg):
        modules[cfg.MODEL.ROI_HEADS.NAME] = ROI_HEADS_REGISTRY
        modules[cfg.MODEL.PROPOSAL_GENERATOR.NAME] = PROPOSAL_GENERATOR_REGISTRY
    return modules


def bases_of(name: str, registry: Registry) -> list[str]:
    """Names of a registered class and of all that it is derived from; none of anything else."""
    module = registry.get(name) if name in registry else None
    return [base.__name__ for base in module.__mro__] if isinstance(module, type) else []


def num_classes_key(cfg: CfgNode) -> str:
    """The key that the detector takes its number of classes from."""
    return NUM_CLASSES_KEYS["RetinaNet" if _is_one_stage(cfg) else "ROIHeads"]


def _is_one_stage(cfg: CfgNode) -> bool:
    return "RetinaNet" in bases_of(cfg.MODEL.META_ARCHITECTURE, META_ARCH_REGISTRY)
