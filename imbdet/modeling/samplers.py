"""Samplers by the names that MODEL.SAMPLER and MODEL.RPN_SAMPLER give them in a YAML file."""

from detectron2.config import CfgNode

from imbdet.errors import UserError
from imbdet.methods import NEGATIVE_SAMPLERS, POSITIVE_SAMPLERS
from imbdet.modeling.registry import lookup, read_options
from imbdet.modeling.site_keys import Site
from imbdet.samplers import PoolSampler

SAMPLERS = {"POSITIVE": POSITIVE_SAMPLERS, "NEGATIVE": NEGATIVE_SAMPLERS}


def build_pool_sampler(cfg: CfgNode, site: Site, kind: str, name: str) -> PoolSampler:
    """A sampler of a site by name.

    Args:
        cfg: config with the options of the sampler.
        site: site at which it samples.
        kind: "POSITIVE" or "NEGATIVE".
        name: name of the sampler.

    Raises:
        UserError: the sampler does not exist, compares all pairs of anchors, or has an option out
            of range.
    """
    key = f"{site.sampler}.{kind}.NAME"
    method = lookup(SAMPLERS[kind], name, key)
    options = read_options(cfg, site, site.sampler, method)
    if site.is_dense and method.compares_pairs:
        raise UserError(
            f"{key} is {name!r}, which compares all pairs of {kind.lower()}s: the anchors of "
            f"{site.module} are too many. It is for the RoI heads; pieces for one-stage detectors "
            "end in -Dense."
        )
    for option, value in method.for_anchors.items():
        if site.is_dense and options[option] != value:
            raise UserError(
                f"{site.option_key(site.sampler, name, option)} is {options[option]}, which "
                f"compares all pairs of candidates: the anchors of {site.module} are too many. "
                f"Set it to {value}."
            )
    return method.build(**options)
