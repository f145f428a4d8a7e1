"""The names of the methods that a detector learns with, those of detectron2 included."""

from typing import Any

from detectron2.config import CfgNode

from imbdet.config_files.keys import get_key
from imbdet.modeling.box_losses import chosen_box_loss
from imbdet.modeling.detector_kind import is_one_stage
from imbdet.modeling.site_keys import RETINANET, ROI_HEADS, cls_loss_name, sampler_names


def chosen_methods(cfg: CfgNode) -> dict[str, Any]:
    """Names of the methods by their kinds, for RetinaNet or for the RoI heads.

    Raises:
        UserError: there is no such detector, or two keys name different box losses.
    """
    site = RETINANET if is_one_stage(cfg) else ROI_HEADS
    positive, negative = sampler_names(cfg, site)
    box_loss = chosen_box_loss(cfg, site).name
    if (
        box_loss == "smooth_l1"
        and get_key(cfg, site.option_key(site.box_loss, "smooth_l1", "beta")) == 0
    ):
        box_loss = "l1"  # as detectron2 computes it
    return {
        "positive_sampler": positive,
        "negative_sampler": negative,
        "weightings": list(get_key(cfg, f"{site.weighting}.NAMES")),
        "cls_loss": cls_loss_name(cfg, site),
        "box_loss": box_loss,
        "carl": get_key(cfg, f"{site.carl}.ENABLED"),
    }
