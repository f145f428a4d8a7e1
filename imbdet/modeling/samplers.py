"""Samplers by the names that MODEL.SAMPLER and MODEL.RPN_SAMPLER give them in a YAML file."""

from detectron2.config import CfgNode

from imbdet.modeling.registry import SAMPLER_REGISTRY
from imbdet.modeling.sites import Site
from imbdet.samplers import PoolSampler, pick_all, pick_random


@SAMPLER_REGISTRY.register()
def random(cfg: CfgNode, site: Site) -> PoolSampler:
    """Uniformly at random up to the quota: detectron2's sampler."""
    return pick_random


@SAMPLER_REGISTRY.register()
def all(cfg: CfgNode, site: Site) -> PoolSampler:
    """No sampling."""
    return pick_all
