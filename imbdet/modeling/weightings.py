"""Weightings by the names that MODEL.WEIGHTING.NAMES lists."""

from collections.abc import Callable

from detectron2.config import CfgNode
from torch import Tensor

from imbdet.errors import UserError
from imbdet.modeling.registry import WEIGHTING_REGISTRY
from imbdet.modeling.sites import Site, get_key
from imbdet.structures import Samples
from imbdet.weighting import (
    ImportanceNegatives,
    ImportancePositives,
    SoftSampling,
    Weighting,
    carl_weights,
    gt_class_scores,
)


@WEIGHTING_REGISTRY.register()
def isr_p(cfg: CfgNode, site: Site) -> Weighting:
    """Importance-based reweighting of the positives.

    Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821
    """
    node = get_key(cfg, f"{site.weighting}.ISR_P")
    return ImportancePositives(node.K, node.BIAS)


@WEIGHTING_REGISTRY.register()
def isr_n(cfg: CfgNode, site: Site) -> Weighting:
    """Importance-based reweighting of the negatives, as the sampler score_hlr ranks them.

    Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821
    """
    key = f"{site.sampler}.NEGATIVE.NAME"
    if get_key(cfg, key) != "score_hlr":
        raise UserError(
            f"{site.weighting}.NAMES has 'isr_n', which weighs negatives as the sampler ranks "
            f"them, but {key} is {get_key(cfg, key)!r}: only 'score_hlr', which the RoI heads "
            "have, ranks them."
        )
    node = get_key(cfg, f"{site.weighting}.ISR_N")
    return ImportanceNegatives(node.K, node.BIAS)


@WEIGHTING_REGISTRY.register()
def soft_sampling(cfg: CfgNode, site: Site) -> Weighting:
    """Negatives far from all objects weigh less.

    Wu et al., BMVC 2019, https://arxiv.org/abs/1806.06986
    """
    node = get_key(cfg, f"{site.weighting}.SOFT_SAMPLING")
    return SoftSampling(node.MIN_WEIGHT, node.B, node.C)


def build_carl(cfg: CfgNode, site: Site, activation: str) -> Callable[[Samples], Tensor]:
    """The (P,) weights of CARL, with gradient."""
    node = get_key(cfg, site.carl)

    def weigh(samples: Samples) -> Tensor:
        return carl_weights(gt_class_scores(samples, activation), k=node.K, bias=node.BIAS)

    return weigh
