"""Prime samples: those with the largest effect on the mAP, found by hierarchical local rank.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from imbdet.methods import NEGATIVE_SAMPLERS, POSITIVE_SAMPLERS
from imbdet.methods.options import Share
from imbdet.ops.boxes import paired_iou
from imbdet.ops.image_rows import image_after_image
from imbdet.ops.local_rank import hierarchical_order
from imbdet.ops.masks import count_true, true_idxs
from imbdet.ops.nms import nms_clusters
from imbdet.samplers.sampler import Pick, PickFrom, PoolsSampler
from imbdet.samplers.uniform import pick_random
from imbdet.structures import Candidates


@NEGATIVE_SAMPLERS.register(
    "score_hlr",
    "Prime samples: the box of each cluster that would be detected first; of the RoI heads alone.",
    "Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821",
    compares_pairs=True,
    ranks=True,
)
@dataclass(frozen=True)
class ScoreHLRNegatives(PoolsSampler):
    """Picks the negatives that would be detected, one of each cluster first (Score-HLR).

    Negatives with a foreground score are regressed for their best class and clustered by NMS,
    whatever their class; the samples of all clusters form one ranking by score. Random negatives
    fill the rest of the quota; see :class:`PoolSampler`.

    The importance decreases linearly with the rank, from 1 towards 0 at the end of the ranking or
    of the picked samples, whichever is later. Random negatives get the smallest importance of the
    picked ranked ones, or 1 if there are none.

    Attributes:
        score_thresh: a negative is ranked if its highest score is above this.
        iou_thresh: IoU from which two boxes belong to one cluster.
    """

    score_thresh: Share = 0.05
    iou_thresh: Share = 0.5

    needs = frozenset({"outputs"})

    def of_pools(self, candidates: Candidates, pools: Sequence[Tensor]) -> list[PickFrom]:
        """See :class:`PoolsSampler`; members of all pools are ranked at once."""
        pool, sizes = torch.cat(tuple(pools)), [len(pool) for pool in pools]
        scores, classes = candidates.require_outputs().scores[pool].max(dim=1)
        is_ranked = scores > self.score_thresh
        counts = count_true(is_ranked, sizes)
        places = true_idxs(is_ranked, sum(counts))
        others = pool[true_idxs(~is_ranked, len(pool) - sum(counts))]
        ranked, scores = pool[places], scores[places]
        boxes = candidates.decode(ranked, classes[places])
        clusters = nms_clusters(boxes, scores, self.iou_thresh, counts)
        ranked = ranked[image_after_image(hierarchical_order(scores, clusters), counts)]
        unranked = others.split([size - count for size, count in zip(sizes, counts, strict=True)])
        rankings = zip(ranked.split(counts), unranked, strict=True)
        return [partial(_pick_prime, candidates, *ranking) for ranking in rankings]


def _pick_prime(
    candidates: Candidates,
    ranked: Tensor,
    unranked: Tensor,
    quota: int,
    generator: torch.Generator | None,
) -> Pick:
    """Pick the first of ``ranked``, (R,) int64, and fill the quota with random others."""
    prime = ranked[:quota]
    filling = pick_random(candidates, unranked, quota - len(prime), generator).idxs
    idxs = torch.cat([prime, filling])
    last_rank = max(len(prime) - 1, 0)
    picked_ranks = torch.arange(len(idxs), device=idxs.device).clamp(max=last_rank)
    num_ranks = max(len(idxs), len(ranked))
    return Pick(idxs, importance=(num_ranks - picked_ranks) / num_ranks)


@POSITIVE_SAMPLERS.register(
    "iou_hlr",
    "Prime samples: each object's best box after regression first.",
    "Cao et al., CVPR 2020, https://arxiv.org/abs/1904.04821",
)
class IoUHLRPositives(PoolsSampler):
    """Picks the positives of the highest IoU after regression, each object's best first (IoU-HLR).

    All classes of an image are ranked together; see :class:`PoolSampler`.
    """

    needs = frozenset({"outputs"})

    def of_pools(self, candidates: Candidates, pools: Sequence[Tensor]) -> list[PickFrom]:
        """See :class:`PoolsSampler`; members of all pools are ranked at once."""
        pool, sizes = torch.cat(tuple(pools)), [len(pool) for pool in pools]
        pred_boxes = candidates.decode(pool, candidates.gt_labels[pool])
        ious = paired_iou(pred_boxes, candidates.gt_boxes_of(pool))
        order = hierarchical_order(ious, candidates.gt_idxs[pool])
        ranked = pool[image_after_image(order, sizes)].split(sizes)
        return [partial(_pick_first, of_image) for of_image in ranked]


def _pick_first(ranked: Tensor, quota: int, generator: torch.Generator | None) -> Pick:
    return Pick(ranked[:quota])
