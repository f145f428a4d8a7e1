"""Keys that are set but that nothing reads, such as an option of a loss that is not chosen."""

import itertools
from collections.abc import Iterator, Sequence

from detectron2.config import CfgNode, get_cfg

from imbdet.config import add_imbdet_config
from imbdet.config_files.keys import get_key, leaves
from imbdet.errors import UserError
from imbdet.methods import (
    ASSIGNERS,
    BOX_LOSSES,
    CLS_LOSSES,
    NEGATIVE_SAMPLERS,
    POSITIVE_SAMPLERS,
    WEIGHTINGS,
    Registry,
)
from imbdet.modeling.box_losses import chosen_box_loss
from imbdet.modeling.detector_kind import NUM_CLASSES_KEYS, bases_of, modules_of, num_classes_key
from imbdet.modeling.site_keys import CASCADE, SITES, Site, cls_loss_name, sampler_names
from imbdet.modeling.sites import sites_of
from imbdet.reference.declared_keys import has_meaning

# Our keys in nodes of detectron2, the class of detectron2 that ours replace, and ours, which read
# the key. Pieces set keys for both kinds of detector, so that those of the other kind are allowed.
_KEYS_IN_ITS_NODES = (
    ("MODEL.RETINANET.BBOX_REG_LOSS_WEIGHT", "RetinaNet", ("ImbDense",)),
    ("MODEL.ROI_BOX_HEAD.PRIOR_PROB", "ROIHeads", ("ImbROIHeads", "ImbCascadeROIHeads")),
    ("MODEL.ROI_BOX_CASCADE_HEAD.STAGES", "ROIHeads", ("ImbCascadeROIHeads",)),
    ("MODEL.ROI_BOX_CASCADE_HEAD.LOSS_WEIGHTS", "ROIHeads", ("ImbCascadeROIHeads",)),
    ("MODEL.RPN.PRIOR_PROB", "RPN", ("ImbRPN",)),
    # Keys that detectron2's main branch has and reads itself.
    *(
        (f"MODEL.ROI_BOX_HEAD.{key}", "ROIHeads", ("ImbROIHeads", "ImbCascadeROIHeads"))
        for key in ("USE_SIGMOID_CE", "USE_FED_LOSS")
        if key not in get_cfg().MODEL.ROI_BOX_HEAD
    ),
)


def refuse_unread_keys(cfg: CfgNode) -> None:
    """Raise UserError if a key is set that nothing in the model of the config reads.

    Args:
        cfg: config with the keys of ``add_imbdet_config`` or of ``add_modeling_config``.
    """
    defaults = get_cfg()
    add_imbdet_config(defaults)
    for key, reason in _unread_keys(cfg):
        if get_key(cfg, key) != get_key(defaults, key):
            raise UserError(f"{key} is set, but {reason}.")
    _refuse_unread_of_stages(cfg)


def _refuse_unread_of_stages(cfg: CfgNode) -> None:
    """Raise UserError if a stage of a cascade has a key of its own that it does not read."""
    stages = [place for place in sites_of(cfg) if place.site.module == CASCADE.module]
    groups = cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGES
    for k, ((own, site), group) in enumerate(zip(stages, groups, strict=False)):
        for unread, reason in _unread_options(own, site):
            for key, _ in leaves(group, "MODEL."):
                if f"{key}.".startswith(f"{unread}."):
                    raise UserError(f"Stage {k} of the cascade: {key} is set, but {reason}.")


def _unread_keys(cfg: CfgNode) -> Iterator[tuple[str, str]]:
    """Keys, or nodes of keys, that nothing reads, and why."""
    modules = modules_of(cfg)
    model = ", ".join(modules)
    classes = {base for module in modules.values() for base in bases_of(module)}
    found = sites_of(cfg)
    sites = [site for _, site in found]
    hint = ""
    if not sites:
        hint = (
            ": give the config of a detector first, such as --config-file "
            "imbdet://quick_start/retinanet.yaml"
        )
    for node in dict.fromkeys(node for site in SITES for node in site.nodes):
        readers = [site.module for site in SITES if node in site.nodes]
        if all(node not in site.nodes for site in sites):
            yield node, f"only {_joined(readers)} would read it, and the model is of {model}{hint}"
    for key, base, own in _KEYS_IN_ITS_NODES:
        if base in classes and classes.isdisjoint(own):
            yield key, f"only {_joined(own)} would read it, and the model is of {model}"
    for _, group in itertools.groupby(found, key=lambda place: place.site.module):
        # Stages of a cascade share their keys: one is unread if no stage reads it.
        unread, *others = [dict(_unread_options(own, site)) for own, site in group]
        yield from ((key, unread[key]) for key in unread if all(key in other for other in others))
    yield from _other_num_classes(cfg, model)
    backbone = cfg.MODEL.BACKBONE.NAME
    for part in ("BFP", "TIMM"):
        if part.lower() not in backbone:
            yield f"MODEL.{part}", f"the backbone is {backbone!r}, which has no such part"
    if "SSD" in cfg.INPUT and cfg.INPUT.AUGMENTATION != "ssd":
        yield "INPUT.SSD", f"INPUT.AUGMENTATION is {cfg.INPUT.AUGMENTATION!r}: set it to 'ssd'"


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _other_num_classes(cfg: CfgNode, model: str) -> Iterator[tuple[str, str]]:
    """The number of classes of the other kind of detector, unless a config sets both alike."""
    key = num_classes_key(cfg)
    for other in NUM_CLASSES_KEYS.values():
        if get_key(cfg, other) != get_key(cfg, key):
            yield other, f"the model is of {model}, which reads {key}: set that one, or both alike"


def _unread_options(cfg: CfgNode, site: Site) -> Iterator[tuple[str, str]]:
    chosen = [name for name in (get_key(cfg, f"{site.assigner}.NAME"),) if name]
    yield from _options_of_others(site.assigner, "NAME", chosen, ASSIGNERS)
    yield from _options_of_others(site.cls_loss, "NAME", [cls_loss_name(cfg, site)], CLS_LOSSES)
    for name, method in CLS_LOSSES:
        keys = [site.option_key(site.cls_loss, name, option.name) for option in method.options]
        if keys and not any(key.startswith(site.cls_loss) for key in keys):
            reason = f"{site.module} reads {' and '.join(keys)}: set those instead"
            yield f"{site.cls_loss}.{name.upper()}", reason
    chosen = [chosen_box_loss(cfg, site).name]
    yield from _options_of_others(site.box_loss, "NAME", chosen, BOX_LOSSES)

    names = sampler_names(cfg, site)
    keys = "POSITIVE.NAME and NEGATIVE.NAME"
    yield from _options_of_others(site.sampler, keys, names, POSITIVE_SAMPLERS, NEGATIVE_SAMPLERS)
    if not site.has_quota:
        yield f"{site.sampler}.MAX_NEG_POS_RATIO", f"{site.module} has no quota to limit"
    elif names[1] == "all":
        yield f"{site.sampler}.MAX_NEG_POS_RATIO", f"{site.sampler}.NEGATIVE.NAME is 'all'"
    if site.has_quota or names[1] == "all":
        reason = "only dense detectors read it, and only with a sampler of negatives"
        yield f"{site.sampler}.NEG_POS_RATIO", reason
        yield f"{site.sampler}.MIN_NEGATIVES", reason

    if site.weighting:
        names = get_key(cfg, f"{site.weighting}.NAMES")
        yield from _options_of_others(site.weighting, "NAMES", names, WEIGHTINGS)
    if site.parts:
        node = get_key(cfg, site.parts)
        if node.BOXES != "distributions":
            for option in ("REG_MAX", "DFL_LOSS_WEIGHT"):
                yield f"{site.parts}.{option}", f"{site.parts}.BOXES is {node.BOXES!r}"
        if not node.QUALITY:
            yield f"{site.parts}.QUALITY_LOSS_WEIGHT", f"{site.parts}.QUALITY is empty"
    if site.carl and not get_key(cfg, f"{site.carl}.ENABLED"):
        for option in ("K", "BIAS"):
            yield f"{site.carl}.{option}", f"{site.carl}.ENABLED is False"


def _options_of_others(
    node: str, key: str, chosen: Sequence[str], *registries: Registry
) -> Iterator[tuple[str, str]]:
    """The options of the methods that are not chosen."""
    names = " and ".join(map(repr, dict.fromkeys(chosen))) or "empty"
    for name, method in itertools.chain(*registries):
        if method.own_options and name not in chosen and has_meaning(method, node):
            yield f"{node}.{name.upper()}", f"only {name!r} reads it, and {node}.{key} is {names}"
