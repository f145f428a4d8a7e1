"""From the keys of a site to its sampler and its criterion."""

from collections.abc import Callable

from detectron2.config import CfgNode
from torch import nn

from imbdet.errors import UserError
from imbdet.modeling import cls_losses, samplers  # noqa: F401  (fill the registries)
from imbdet.modeling.box_losses import build_box_loss
from imbdet.modeling.registry import CLS_LOSS_REGISTRY, SAMPLER_REGISTRY, ClsLoss, lookup
from imbdet.modeling.sites import Site, get_key
from imbdet.samplers import PoolSampler, QuotaSampler, pick_all, sample_all
from imbdet.structures import Candidates, Choice


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
    """Criterion of a site, and the activation of its classification loss."""
    cls_loss = _build_cls_loss(cfg, site)
    return cls_loss.criterion(box_loss=build_box_loss(cfg, site)), cls_loss.activation


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
