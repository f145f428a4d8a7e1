"""Assigners by the names that MODEL.ASSIGNER and MODEL.RPN_ASSIGNER give them in a YAML file."""

from detectron2.config import CfgNode

from imbdet.assigners import Assigner
from imbdet.errors import UserError
from imbdet.methods import ASSIGNERS
from imbdet.modeling.registry import lookup
from imbdet.modeling.site_keys import Site, get_key


def build_assigner(cfg: CfgNode, site: Site) -> Assigner | None:
    """The assigner of a site; None is the detector's own matcher.

    Raises:
        UserError: it does not exist, or detectron2's keys for the IoUs are not those of an assigner
            with fixed thresholds.
    """
    key = f"{site.assigner}.NAME"
    name = get_key(cfg, key)
    if not name:
        return None
    method = lookup(ASSIGNERS, name, key)
    node = get_key(cfg, site.head)
    if list(node.IOU_LABELS) not in ([0, 1], [0, -1, 1]):
        raise UserError(
            f"{site.head}.IOU_LABELS is {list(node.IOU_LABELS)}, but {key} is {name!r}, which "
            "knows background (0), ignored (-1) and positive (1), in this order: set [0, 1] or "
            "[0, -1, 1]."
        )
    return method.build(
        negative_below=node.IOU_THRESHOLDS[0],
        positive_from=node.IOU_THRESHOLDS[-1],
        # As detectron2 does: an anchor for each object, however small, but no proposal.
        allow_low_quality_matches=site.is_dense,
    )
