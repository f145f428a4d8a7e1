"""The sampler and the criterion of a site, built from its keys."""

import math
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage

from imbdet.config_files.keys import get_key
from imbdet.errors import UserError
from imbdet.learning.criteria import (
    SCOPES,
    BoxLoss,
    Criterion,
    DistributionLoss,
    QualityLoss,
)
from imbdet.learning.qualities import QUALITIES
from imbdet.methods import ASSIGNERS
from imbdet.modeling.box_losses import build_box_loss, chosen_box_loss
from imbdet.modeling.cls_losses import ClsLoss, build_cls_loss, cls_loss_method
from imbdet.modeling.registry import read_choice
from imbdet.modeling.samplers import build_pool_sampler
from imbdet.modeling.site_keys import Site, cls_loss_name, num_classes_of, sampler_names
from imbdet.modeling.weightings import build_carl, build_weighting
from imbdet.samplers import (
    PairSampler,
    PoolSampler,
    QuotaSampler,
    RatioSampler,
    Sampler,
    pick_all,
    sample_all,
)
from imbdet.structures import Candidates, Outputs, Priors, Samples, Targets, needs_of
from imbdet.structures.classifiers import Classifier
from imbdet.weighting import WeightingProduct


def build_sampler(cfg: CfgNode, site: Site) -> Sampler:
    """Sampler of a site, from its node of keys.

    Raises:
        UserError: a name does not exist or has no meaning here, or an option is out of range.
    """
    try:
        pos_name, neg_name = sampler_names(cfg, site)
        positive = _build_pool_sampler(cfg, site, "POSITIVE", pos_name)
        negative = _build_pool_sampler(cfg, site, "NEGATIVE", neg_name)
        if negative is pick_all and not site.has_quota:
            return sample_all
        return combine_samplers(cfg, site, positive, negative)
    except ValueError as error:
        raise UserError(f"{site.sampler}: {error}") from error


def combine_samplers(
    cfg: CfgNode, site: Site, positive: PoolSampler, negative: PoolSampler
) -> PairSampler:
    """Combine two samplers with the quotas of a site's keys.

    Raises:
        ValueError: one of these keys is out of range.
    """
    node = get_key(cfg, site.sampler)
    if not site.has_quota:
        return RatioSampler(
            positive,
            negative,
            neg_pos_ratio=node.NEG_POS_RATIO,
            min_negatives=node.MIN_NEGATIVES,
        )
    quota = get_key(cfg, site.head)
    return QuotaSampler(
        positive,
        negative,
        batch_size_per_image=quota.BATCH_SIZE_PER_IMAGE,
        positive_fraction=quota.POSITIVE_FRACTION,
        max_neg_pos_ratio=node.MAX_NEG_POS_RATIO or math.inf,
    )


def _build_pool_sampler(cfg: CfgNode, site: Site, kind: str, name: str) -> PoolSampler:
    key = f"{site.sampler}.{kind}.NAME"
    sampler = build_pool_sampler(cfg, site, kind, name)
    if kind == "POSITIVE" and not site.has_quota and sampler is not pick_all:
        raise UserError(
            f"{key} is {name!r}, but {site.module} has no quota of positives per image to fill. "
            "Use 'all' or leave it empty; pieces for one-stage detectors end in -Dense."
        )
    if "losses" in needs_of(sampler) and cls_loss_method(cfg, site).ranks:
        loss_key = f"{site.cls_loss}.NAME"
        raise UserError(
            f"{key} is {name!r}, which looks at each sample's classification loss, but "
            f"{loss_key} is {get_key(cfg, loss_key)!r}, a ranking loss, which has no loss per "
            "sample. Change one of the two keys."
        )
    return sampler


def build_criterion(cfg: CfgNode, site: Site) -> Criterion:
    """Criterion of a site.

    Raises:
        UserError: a name does not exist or has no meaning here, or an option is out of range.
    """
    try:
        cls_loss, box_loss = build_cls_loss(cfg, site), build_box_loss(cfg, site)
        options = _pointwise_options(cfg, site, cls_loss, box_loss)
        options |= _positive_options(cfg, site, cls_loss, box_loss)
        scope = _read_scope(cfg, site, cls_loss)
        criterion = cls_loss.criterion(box_loss=box_loss, scope=scope, **options)
        # Losses check their options when they are called, so they are called before a training
        # starts. In evaluation mode they exchange nothing with other processes.
        with EventStorage():
            criterion.eval()(_no_samples(criterion.classifier, num_classes_of(cfg, site)), 1.0)
    except ValueError as error:
        raise UserError(f"{' or '.join(site.nodes[1:])}: {error}") from error
    return criterion.train()


def _pointwise_options(
    cfg: CfgNode, site: Site, cls_loss: ClsLoss, box_loss: BoxLoss
) -> dict[str, Any]:
    """Arguments of a :class:`PointwiseCriterion` by the keys."""
    options: dict[str, Any] = {}
    keys = {}  # the key that sets each
    if site.weighting and (names := get_key(cfg, f"{site.weighting}.NAMES")):
        keys["weighting"] = key = f"{site.weighting}.NAMES"
        if len(set(names)) < len(names):
            raise UserError(f"{key} is {list(names)}, but each weighting counts once.")
        weightings = [build_weighting(cfg, site, name) for name in names]
        options["weighting"] = WeightingProduct(*weightings)
    if site.carl and get_key(cfg, f"{site.carl}.ENABLED"):
        keys["carl"] = f"{site.carl}.ENABLED"
        options["carl"] = build_carl(cfg, site)
        if box_loss.compares != "deltas":
            chosen = chosen_box_loss(cfg, site)
            raise UserError(
                f"{keys['carl']} is True, which weighs a loss of the box deltas, but {chosen.key} "
                f"is {chosen.name!r}, a loss of decoded boxes. Use 'smooth_l1', for instance."
            )
    if get_key(cfg, f"{site.cls_loss}.GUIDED_SCALE"):
        keys["guided_scale"] = f"{site.cls_loss}.GUIDED_SCALE"
        options["guided_scale"] = True
    if options and not cls_loss.is_pointwise:
        name = f"{site.cls_loss}.NAME"
        raise UserError(
            f"{' and '.join(keys.values())} would weigh each sample's classification loss, but "
            f"{name} is {get_key(cfg, name)!r}, a ranking loss, which has no loss per sample. "
            "Change one of the two keys."
        )
    return options


def _positive_options(
    cfg: CfgNode, site: Site, cls_loss: ClsLoss, box_loss: BoxLoss
) -> dict[str, Any]:
    """Arguments of a :class:`Criterion` by the parts of a dense head."""
    if not site.parts:
        return {}
    node = get_key(cfg, site.parts)
    _refuse_missing_quality(cfg, site)
    options: dict[str, Any] = {}
    keys = {}  # the key that sets each
    if quality := read_choice(cfg, f"{site.parts}.QUALITY", ("", "centerness", "iou")):
        keys["quality_loss"] = f"{site.parts}.QUALITY"
        options["quality_loss"] = QualityLoss(QUALITIES[quality], weight=node.QUALITY_LOSS_WEIGHT)
    if node.BOXES == "distributions":
        keys["distribution_loss"] = f"{site.parts}.BOXES"
        options["distribution_loss"] = DistributionLoss(weight=node.DFL_LOSS_WEIGHT)
    if name := read_choice(cfg, f"{site.parts}.BOX_QUALITY", ("", *QUALITIES)):
        keys["box_quality"] = key = f"{site.parts}.BOX_QUALITY"
        options["box_quality"] = QUALITIES[name]
        if box_loss.is_normalized:
            chosen = chosen_box_loss(cfg, site)
            raise UserError(
                f"{key} is {name!r}, by whose sum box losses are divided, but {chosen.key} is "
                f"{chosen.name!r}, which has a divisor of its own. Change one of the two keys."
            )
    if options and cls_loss.is_criterion:
        raise UserError(
            f"{' and '.join(keys.values())} would change what positives pay, but "
            f"{cls_loss_name(cfg, site)!r} has its own use of their box losses: leave them at "
            "their defaults or choose another classification loss."
        )
    return options


def _refuse_missing_quality(cfg: CfgNode, site: Site) -> None:
    """Raise UserError if a key sets a quality that does not exist with this assigner."""
    key = f"{site.assigner}.NAME"
    name, names = get_key(cfg, key), dict(ASSIGNERS)
    inside, grades = (
        [other for other, method in names.items() if getattr(method, about)]
        for about in ("inside", "grades")
    )
    for own in ("QUALITY", "BOX_QUALITY"):
        if get_key(cfg, f"{site.parts}.{own}") == "centerness" and name not in inside:
            raise UserError(
                f"{site.parts}.{own} is 'centerness', which a prior outside of its object does not "
                f"have, and {key} is {name!r}, which knows such positives: choose one of "
                f"{', '.join(map(repr, inside))}, or another quality."
            )
    for own, value in (("BOX_QUALITY", "assigned"), ("NORMALIZER", "quality")):
        if get_key(cfg, f"{site.parts}.{own}") == value and name not in grades:
            raise UserError(
                f"{site.parts}.{own} is {value!r}, the quality that the assigner tells, but {key} "
                f"is {name!r}, which tells none: choose one of {', '.join(map(repr, grades))}."
            )


def _read_scope(cfg: CfgNode, site: Site, cls_loss: ClsLoss) -> str:
    key = f"{site.cls_loss}.SCOPE"
    scope = read_choice(cfg, key, SCOPES)
    if scope == "image" and cls_loss.is_pointwise:
        raise UserError(
            f"{key} is 'image', which gives each image a ranking of its own, but "
            f"{cls_loss_name(cfg, site)!r} is no loss of a ranking: use 'batch' or 'global'."
        )
    return scope


def _no_samples(classifier: Classifier, num_classes: int) -> Samples:
    """An empty batch."""
    none, boxes = torch.empty(0, dtype=torch.int64), torch.empty(0, 4)
    candidates = Candidates(
        gt_labels=none,
        gt_idxs=none,
        ious=torch.empty(0),
        num_per_image=[0],
        num_classes=num_classes,
        priors=Priors(boxes, level_sizes=[0]),
        targets=Targets(boxes, none),
        importance=torch.empty(0),
    )
    outputs = Outputs(
        torch.empty(0, num_classes + classifier.num_extra),
        deltas=boxes,
        side_logits=torch.empty(0, 4, 2),
        quality_logits=torch.empty(0),
        box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
        classifier=classifier,
    )
    return Samples(candidates, outputs)
