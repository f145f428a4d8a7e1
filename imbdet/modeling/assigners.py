"""Assigners by the names that MODEL.ASSIGNER and MODEL.RPN_ASSIGNER give them in a YAML file."""

from dataclasses import replace
from typing import Any

from detectron2.config import CfgNode

from imbdet.assigners import Assigner
from imbdet.config_files.keys import get_key
from imbdet.errors import UserError
from imbdet.methods import ASSIGNERS, AssignerMethod
from imbdet.modeling.registry import lookup, read_options
from imbdet.modeling.site_keys import Site
from imbdet.structures import needs_of


def build_assigner(cfg: CfgNode, site: Site) -> Assigner | None:
    """The assigner of a site; None is the detector's own matcher.

    Raises:
        UserError: the name does not exist or has no meaning here, an option is out of range, or
            detectron2's keys for the IoUs are not those of an assigner with fixed thresholds.
    """
    name = get_key(cfg, f"{site.assigner}.NAME")
    return build_assigner_named(cfg, site, name) if name else None


def build_assigner_named(cfg: CfgNode, site: Site, name: str) -> Assigner:
    """An assigner of a name, with its options from the node of a site; see :func:`build_assigner`.

    Raises:
        UserError: see :func:`build_assigner`.
    """
    key = f"{site.assigner}.NAME"
    method = lookup(ASSIGNERS, name, key)
    _refuse_elsewhere(method, site, key)
    own = replace(method, options=tuple(method.own_options))
    options = read_options(cfg, site, site.assigner, own)
    if name == "max_iou":
        options = _fixed_thresholds(cfg, site, key)
    return method.build(**options)


def _refuse_elsewhere(method: AssignerMethod, site: Site, key: str) -> None:
    """Raise UserError if an assigner has no meaning at a site."""
    where = f"{key} is {method.name!r}, but {site.module} assigns "
    if site.is_dense and "dense heads" not in method.places:
        raise UserError(
            f"{where}anchors: {method.name!r} is for the proposals of the RoI heads, "
            "MODEL.ASSIGNER.NAME of a two-stage detector."
        )
    if not site.is_dense and "RoI heads" not in method.places:
        reasons = [f"{part}, which proposals lack" for part in method.uses]
        if "outputs" in needs_of(method.call):
            reasons.append("predictions of all priors, which the RoI heads have not yet made")
        raise UserError(
            f"{where}proposals: {method.name!r} asks for {' and for '.join(reasons)}. Choose "
            f"{' or '.join(_names_for_proposals())}; MODEL.RPN_ASSIGNER.NAME takes "
            f"{method.name!r}."
        )


def _names_for_proposals() -> list[str]:
    return [repr(name) for name, method in ASSIGNERS if "RoI heads" in method.places]


def _fixed_thresholds(cfg: CfgNode, site: Site, key: str) -> dict[str, Any]:
    """The options of ``max_iou`` by the keys of detectron2's matcher."""
    node = get_key(cfg, site.head)
    if list(node.IOU_LABELS) not in ([0, 1], [0, -1, 1]):
        raise UserError(
            f"{site.head}.IOU_LABELS is {list(node.IOU_LABELS)}, but {key} is 'max_iou', which "
            "knows background (0), ignored (-1) and positive (1), in this order: set [0, 1] or "
            "[0, -1, 1]."
        )
    return {
        "negative_below": node.IOU_THRESHOLDS[0],
        "positive_from": node.IOU_THRESHOLDS[-1],
        # As in detectron2, each object gets an anchor, however small its IoU, but no proposal.
        "allow_low_quality_matches": site.is_dense,
    }
