"""The sites of a config's detector."""

from typing import Any

from detectron2.config import CfgNode

from imbdet.modeling.cascade_stages import stages_of
from imbdet.modeling.detector_kind import bases_of, modules_of
from imbdet.modeling.site_keys import CASCADE, SITES, ReadingSite, Site


def sites_of(cfg: CfgNode) -> list[ReadingSite]:
    """The sites of a config's detector, one for each stage of a cascade.

    detectron2's own modules have none.

    Raises:
        UserError: a module does not exist, or the keys of a cascade contradict each other.
    """
    found: list[ReadingSite] = []
    for module in modules_of(cfg).values():
        for site in _site_of(module):
            found += stages_of(cfg) if site is CASCADE else [ReadingSite(cfg, site)]
    return found


def _site_of(module: Any) -> list[Site]:
    """The site of a class: that of the first of its bases that has one, if any."""
    by_module = {site.module: site for site in SITES}
    return [by_module[base] for base in bases_of(module) if base in by_module][:1]
