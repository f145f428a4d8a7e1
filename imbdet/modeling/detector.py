"""The detector of a config."""

import detectron2.modeling
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_BOX_HEAD_REGISTRY,
    ROI_HEADS_REGISTRY,
    ROI_KEYPOINT_HEAD_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
)
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator import RPN_HEAD_REGISTRY
from torch import nn

from imbdet.config_files.keys import get_key, leaves
from imbdet.errors import UserError
from imbdet.modeling.registry import lookup
from imbdet.modeling.speed import speed_up

# Registries in which detectron2 looks up the parts that keys name.
_REGISTRIES = {
    "MODEL.META_ARCHITECTURE": META_ARCH_REGISTRY,
    "MODEL.BACKBONE.NAME": BACKBONE_REGISTRY,
    "MODEL.ANCHOR_GENERATOR.NAME": ANCHOR_GENERATOR_REGISTRY,
    "MODEL.PROPOSAL_GENERATOR.NAME": PROPOSAL_GENERATOR_REGISTRY,
    "MODEL.RPN.HEAD_NAME": RPN_HEAD_REGISTRY,
    "MODEL.ROI_HEADS.NAME": ROI_HEADS_REGISTRY,
    "MODEL.ROI_BOX_HEAD.NAME": ROI_BOX_HEAD_REGISTRY,
    "MODEL.ROI_MASK_HEAD.NAME": ROI_MASK_HEAD_REGISTRY,
    "MODEL.ROI_KEYPOINT_HEAD.NAME": ROI_KEYPOINT_HEAD_REGISTRY,
}


def build_model(cfg: CfgNode) -> nn.Module:
    """Build MODEL.META_ARCHITECTURE by the config's keys, and speed it up by MODEL.SPEED.

    Raises:
        UserError: a part does not exist, or keys exclude each other.
    """
    try:
        model = detectron2.modeling.build_model(cfg)
    except KeyError as error:
        for key, registry in _REGISTRIES.items():
            if repr(get_key(cfg, key)) in str(error):
                lookup(registry, get_key(cfg, key), key)
        _blame_key(cfg, error)
        raise
    except ValueError as error:
        if "num_groups" not in str(error):
            raise
        keys = [key for key, value in leaves(cfg.MODEL, "MODEL.") if value == "GN"]
        raise UserError(
            f"{' or '.join(keys)} is 'GN', group normalization with 32 groups, for a layer whose "
            "channels are no multiple of 32: choose others, or another norm."
        ) from error
    except AssertionError as error:
        if not str(error):
            raise
        raise UserError(f"There is no detector of these keys under MODEL: {error}") from error
    speed_up(model, cfg)
    return model


def _blame_key(cfg: CfgNode, error: KeyError) -> None:
    """Raise UserError if a key of the config names the missing thing: a norm or a feature map."""
    missing = str(error.args[0])
    # A stage that the backbone has is right in these two keys, and may be missing for others.
    has_stage = missing in cfg.MODEL.RESNETS.OUT_FEATURES
    right = ("MODEL.RESNETS.OUT_FEATURES", "MODEL.FPN.IN_FEATURES") if has_stage else ()
    suspects = {
        key: value
        for key, value in leaves(cfg.MODEL, "MODEL.")
        if key not in right and missing in (value if isinstance(value, list | tuple) else [value])
    }
    defaults = dict(leaves(get_cfg().MODEL, "MODEL."))
    # Changed keys first: others may belong to parts that this detector lacks.
    for key, value in sorted(suspects.items(), key=lambda item: item[1] == defaults.get(item[0])):
        raise UserError(
            f"{key} is {value!r}, but there is no {missing!r} for it to name."
        ) from error
