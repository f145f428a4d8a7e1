"""Weightings by the names that MODEL.WEIGHTING.NAMES lists."""

from collections.abc import Callable

from detectron2.config import CfgNode
from torch import Tensor

from imbdet.config.values import refuse_out_of_range
from imbdet.config_files.keys import get_key
from imbdet.errors import UserError
from imbdet.methods import NEGATIVE_SAMPLERS, WEIGHTINGS
from imbdet.methods.options import options_of
from imbdet.modeling.registry import lookup, read_options
from imbdet.modeling.site_keys import Site
from imbdet.structures import Samples
from imbdet.weighting import Weighting, carl_weights, gt_class_scores


def build_weighting(cfg: CfgNode, site: Site, name: str) -> Weighting:
    """A weighting of a site by name.

    Raises:
        UserError: the name does not exist, no sampler ranks for the weighting, or an option is out
            of range.
    """
    method = lookup(WEIGHTINGS, name, f"{site.weighting}.NAMES")
    key = f"{site.sampler}.NEGATIVE.NAME"
    ranking = [sampler for sampler, about in NEGATIVE_SAMPLERS if about.ranks]
    if method.needs_ranks and get_key(cfg, key) not in ranking:
        raise UserError(
            f"{site.weighting}.NAMES has {name!r}, which weighs negatives as the sampler ranks "
            f"them, but {key} is {get_key(cfg, key)!r}: only {' and '.join(map(repr, ranking))}, "
            "which the RoI heads have, ranks them."
        )
    return method.build(**read_options(cfg, site, site.weighting, method))


def build_carl(cfg: CfgNode, site: Site) -> Callable[[Samples], Tensor]:
    """The function of samples that returns the (P,) weights of CARL, with gradient.

    Raises:
        UserError: an option is out of range.
    """
    options = {}
    for option in options_of(carl_weights):
        key = f"{site.carl}.{option.name.upper()}"
        options[option.name] = value = get_key(cfg, key)
        refuse_out_of_range(option._replace(name=key), value)

    def weigh(samples: Samples) -> Tensor:
        return carl_weights(gt_class_scores(samples), **options)

    return weigh
