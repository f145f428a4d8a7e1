"""The keys that imbdet adds to detectron2's config; see :mod:`imbdet.reference.declared_keys`."""

import copy
from collections.abc import Iterable

from detectron2.config import CfgNode

# Methods register, and so declare their options, when they are imported.
from imbdet import assigners, losses, samplers, weighting  # noqa: F401
from imbdet.learning import criteria  # noqa: F401
from imbdet.methods import REGISTRIES
from imbdet.methods.options import Option
from imbdet.reference.declared_keys import imbdet_keys, modeling_keys


def add_imbdet_config(cfg: CfgNode) -> None:
    """Add imbdet's keys to ``cfg``, a fresh ``detectron2.config.get_cfg()``, in place."""
    _add(cfg, imbdet_keys(REGISTRIES))


def add_modeling_config(cfg: CfgNode) -> None:
    """Add the keys that ``imbdet.modeling`` reads to ``cfg``, of any detectron2 project, in place.

    An empty NAME leaves that part to the detector itself: focal loss and all anchors for
    RetinaNet, softmax cross-entropy and random sampling for the RoI heads, sigmoid cross-entropy
    and random sampling for the RPN.
    """
    _add(cfg, modeling_keys(REGISTRIES))


def _add(cfg: CfgNode, keys: Iterable[Option]) -> None:
    """Add the keys that are missing: detectron2's main branch already has one of imbdet's."""
    for key in keys:
        *groups, name = key.name.split(".")
        node = cfg
        for group in groups:
            node = node.setdefault(group, CfgNode())
        node.setdefault(name, copy.copy(key.default))
