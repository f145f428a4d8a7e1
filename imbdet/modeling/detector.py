"""The detector of a config."""

import detectron2.modeling
from detectron2.config import CfgNode
from torch import nn

from imbdet.modeling.speed import speed_up


def build_model(cfg: CfgNode) -> nn.Module:
    """MODEL.META_ARCHITECTURE as the config's keys say, computing as MODEL.SPEED says.

    Raises:
        UserError: keys that exclude each other.
    """
    model = detectron2.modeling.build_model(cfg)
    speed_up(model, cfg)
    return model
