"""What each registered sampler chooses from the same candidates."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from torch import Tensor

from imbdet.errors import UserError
from imbdet.modeling.build import combine_samplers
from imbdet.modeling.samplers import SAMPLERS, build_pool_sampler
from imbdet.modeling.site_keys import Site
from imbdet.samplers import PairSampler, PoolSampler, pick_all
from imbdet.structures import Candidates


@dataclass(frozen=True)
class Selections:
    """The samplers of a site and their quotas.

    Attributes:
        positive: samplers of positives by name.
        negative: samplers of negatives by name.
        quotas: sampler whose quotas of positives and negatives of an image they all fill.
        refused: reasons why other samplers are left out, by name.
    """

    positive: Mapping[str, PoolSampler]
    negative: Mapping[str, PoolSampler]
    quotas: PairSampler
    refused: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """All names, those of positives first."""
        return list(dict.fromkeys([*self.positive, *self.negative]))

    def apply(
        self, candidates: Candidates, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Let every sampler choose from the candidates of one image.

        Each one fills the same quota: the number of negatives does not depend on the sampler of
        positives.

        Args:
            candidates: M candidates of one image.
            generator: source of randomness on their device.

        Returns:
            (M,) bool by name, whether the sampler chose the candidate. One that picks from
            positives alone chose no negative.
        """
        pos_pool, neg_pool = candidates.pos_idxs, candidates.neg_idxs
        pos_quota = self.quotas.max_positives(len(pos_pool))
        neg_quota = self.quotas.max_negatives(min(pos_quota, len(pos_pool)))
        chosen = {
            name: torch.zeros_like(candidates.gt_labels, dtype=torch.bool) for name in self.names
        }
        for samplers, pool, quota in (
            (self.positive, pos_pool, pos_quota),
            (self.negative, neg_pool, neg_quota),
        ):
            for name, sampler in samplers.items():
                chosen[name][sampler(candidates, pool, quota, generator).idxs] = True
        return chosen

    def ranked_negatives(self, candidates: Candidates) -> Tensor:
        """(N,) int64, the rows of the negatives that Score-HLR ranks, the first one first.

        It is empty where the site cannot use Score-HLR.
        """
        sampler, pool = self.negative.get("score_hlr"), candidates.neg_idxs
        if sampler is None:
            return pool[:0]
        num_ranked = (
            (candidates.require_outputs().scores[pool] > sampler.score_thresh).any(dim=1).sum()
        )
        return sampler(candidates, pool, int(num_ranked)).idxs


def build_selections(cfg: CfgNode, site: Site) -> Selections:
    """All registered samplers that can be used at a site, with the options of the config."""
    refused: dict[str, str] = {}
    positive = _build(cfg, site, "POSITIVE", refused)
    negative = _build(cfg, site, "NEGATIVE", refused)
    quotas = combine_samplers(cfg, site, pick_all, pick_all)
    return Selections(positive, negative, quotas, refused)


def _build(cfg: CfgNode, site: Site, kind: str, refused: dict[str, str]) -> dict[str, PoolSampler]:
    samplers = {}
    for name, _ in SAMPLERS[kind]:
        try:
            samplers[name] = build_pool_sampler(cfg, site, kind, name)
        except UserError as error:
            refused[name] = str(error)
    return samplers
