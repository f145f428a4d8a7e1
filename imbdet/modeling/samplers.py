"""Samplers by the names that MODEL.SAMPLER and MODEL.RPN_SAMPLER give them in a YAML file."""

from detectron2.config import CfgNode

from imbdet.errors import UserError
from imbdet.modeling.registry import NEGATIVE_SAMPLER_REGISTRY, POSITIVE_SAMPLER_REGISTRY
from imbdet.modeling.sites import Site, get_key
from imbdet.samplers import (
    HardSampler,
    IoUBalancedNegatives,
    IoUHLRPositives,
    PoolSampler,
    ScoreHLRNegatives,
    pick_all,
    pick_instance_balanced,
    pick_random,
)


@POSITIVE_SAMPLER_REGISTRY.register()
@NEGATIVE_SAMPLER_REGISTRY.register()
def random(cfg: CfgNode, site: Site) -> PoolSampler:
    """Uniformly at random up to the quota: detectron2's sampler."""
    return pick_random


@POSITIVE_SAMPLER_REGISTRY.register()
@NEGATIVE_SAMPLER_REGISTRY.register()
def all(cfg: CfgNode, site: Site) -> PoolSampler:
    """No sampling.

    Chen et al., TIP 2021, https://arxiv.org/abs/1909.04868
    """
    return pick_all


@POSITIVE_SAMPLER_REGISTRY.register()
@NEGATIVE_SAMPLER_REGISTRY.register()
def ohem(cfg: CfgNode, site: Site) -> PoolSampler:
    """The highest classification losses.

    Shrivastava et al., CVPR 2016, https://arxiv.org/abs/1604.03540
    """
    key = f"{site.sampler}.OHEM.NMS_THRESH"
    nms_thresh = get_key(cfg, key)
    if site.is_dense and nms_thresh < 1:
        raise UserError(
            f"{key} is {nms_thresh}, which compares all pairs of candidates: the anchors of "
            f"{site.module} are too many. Set it to 1.0."
        )
    return HardSampler(nms_thresh)


@POSITIVE_SAMPLER_REGISTRY.register()
def instance_balanced(cfg: CfgNode, site: Site) -> PoolSampler:
    """As many of each object as of any other.

    Pang et al., CVPR 2019, https://arxiv.org/abs/1904.02701
    """
    return pick_instance_balanced


@NEGATIVE_SAMPLER_REGISTRY.register()
def iou_balanced(cfg: CfgNode, site: Site) -> PoolSampler:
    """As many of each range of IoU as of any other.

    Pang et al., CVPR 2019, https://arxiv.org/abs/1904.02701
    """
    node = get_key(cfg, f"{site.sampler}.IOU_BALANCED")
    return IoUBalancedNegatives(node.FLOOR_THRESH, node.FLOOR_FRACTION, node.NUM_BINS)


@POSITIVE_SAMPLER_REGISTRY.register()
def iou_hlr(cfg: CfgNode, site: Site) -> PoolSampler:
    """Prime samples: each object's best box after regression first.

    Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821
    """
    return IoUHLRPositives()


@NEGATIVE_SAMPLER_REGISTRY.register()
def score_hlr(cfg: CfgNode, site: Site) -> PoolSampler:
    """Prime samples: the box of each cluster that would be detected first; of the RoI heads alone.

    Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821
    """
    if site.is_dense:
        raise UserError(
            f"{site.sampler}.NEGATIVE.NAME is 'score_hlr', which compares all pairs of negatives: "
            f"the anchors of {site.module} are too many. It is for the RoI heads; pieces "
            "for one-stage detectors end in -Dense."
        )
    node = get_key(cfg, f"{site.sampler}.SCORE_HLR")
    return ScoreHLRNegatives(node.SCORE_THRESH, node.IOU_THRESH)
