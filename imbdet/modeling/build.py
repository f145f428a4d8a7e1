"""From the keys of a site to its sampler and its criterion."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage
from torch import nn

from imbdet.errors import UserError
from imbdet.modeling import cls_losses, samplers  # noqa: F401  (fill the registries)
from imbdet.modeling.box_losses import build_box_loss
from imbdet.modeling.registry import CLS_LOSS_REGISTRY, SAMPLER_REGISTRY, ClsLoss, lookup
from imbdet.modeling.sites import Site, get_key
from imbdet.samplers import PoolSampler, QuotaSampler, pick_all, sample_all
from imbdet.structures import Candidates, Choice, Positives, Samples


def build_sampler(
    cfg: CfgNode, site: Site, *, batch_size_per_image: int = 0, positive_fraction: float = 0.0
) -> Callable[[Candidates], Choice]:
    """Sampler of a site, from its keys POSITIVE.NAME and NEGATIVE.NAME."""
    names = [f"{site.sampler}.{kind}.NAME" for kind in ("POSITIVE", "NEGATIVE")]
    positive, negative = (_build_pool_sampler(cfg, site, key) for key in names)
    if not site.has_quota:
        return sample_all
    return QuotaSampler(
        positive,
        negative,
        batch_size_per_image=batch_size_per_image,
        positive_fraction=positive_fraction,
    )


def _build_pool_sampler(cfg: CfgNode, site: Site, key: str) -> PoolSampler:
    name = get_key(cfg, key) or site.default_sampler
    sampler = lookup(SAMPLER_REGISTRY, name, key)(cfg, site)
    if not site.has_quota and sampler is not pick_all:
        raise UserError(
            f"{key} is {name!r}, but {site.module} has no quota of samples per image to fill. "
            f"Use 'all' or leave it empty."
        )
    return sampler


def build_criterion(cfg: CfgNode, site: Site) -> tuple[nn.Module, str]:
    """Criterion of a site, and the activation of its classification loss.

    Raises:
        UserError: a name does not exist or has no meaning here, or an option is out of range.
    """
    try:
        cls_loss = _build_cls_loss(cfg, site)
        criterion = cls_loss.criterion(box_loss=build_box_loss(cfg, site))
        # Losses check their options when they are called: let them, before a training starts.
        with EventStorage():
            criterion(_no_samples(cls_loss.activation), 1.0)
    except ValueError as error:
        raise UserError(f"{site.cls_loss} or {site.box_loss}: {error}") from error
    return criterion, cls_loss.activation


def _build_cls_loss(cfg: CfgNode, site: Site) -> ClsLoss:
    key = f"{site.cls_loss}.NAME"
    name = get_key(cfg, key) or site.default_cls_loss
    cls_loss = lookup(CLS_LOSS_REGISTRY, name, key)(cfg, site)
    if cls_loss.activation not in site.activations:
        raise UserError(
            f"{key} is {name!r}, a {cls_loss.activation} loss, but the scores of {site.module} "
            f"are made with {' or '.join(site.activations)}."
        )
    return cls_loss


def _no_samples(activation: str) -> Samples:
    """An empty batch of a problem with one class."""
    none, boxes = torch.empty(0, dtype=torch.int64), torch.empty(0, 4)
    return Samples(
        gt_labels=none,
        gt_idxs=none,
        ious=torch.empty(0),
        num_per_image=[0],
        num_classes=1,
        pred_logits=torch.empty(0, 2 if activation == "softmax" else 1),
        positives=Positives(boxes, boxes, boxes, Box2BoxTransform((1.0, 1.0, 1.0, 1.0))),
    )
