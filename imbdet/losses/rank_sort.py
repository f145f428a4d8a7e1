"""Rank & Sort loss: positives above negatives, and positives by their localisation quality.

Oksuz et al., "Rank & Sort Loss for Object Detection and Instance Segmentation", ICCV 2021,
https://arxiv.org/abs/2107.11669
"""

import torch
from torch import Tensor

from imbdet.losses.error_driven import Ranking, Update, apply_updates, rank

# Rows of the P x P comparison of positives that are held at a time.
BLOCK = 256


def rank_sort_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    ious: Tensor,
    *,
    delta: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Ranking and sorting error over all entries of the batch.

    The gradients are the error-driven updates of eq. 9 and 10. As published, a sample's own pair
    counts H(0): 1/2 for delta > 0.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        ious: (P,) quality in [0, 1] of the positives in the order of their rows; detached.
        delta: half the width of the step, >= 0; 0 is the hard step, by which a tie counts fully.

    Returns:
        Two scalars with gradients of their own, already divided by the number of positives;
        connected zeros without any.
    """
    ranking = rank(pred_logits, gt_labels, delta)
    if ious.shape != ranking.positives.shape:
        raise ValueError(
            f"ious must have the shape {tuple(ranking.positives.shape)}, one of each positive, "
            f"not {tuple(ious.shape)}"
        )
    updates = [ranking_update(ranking), sorting_update(ranking, ious.detach().double())]
    ranking_loss, sorting_loss = apply_updates(pred_logits, gt_labels, ranking, updates)
    return ranking_loss, sorting_loss


def ranking_update(ranking: Ranking) -> Update:
    """Errors FP_i / rank_i, to be brought to 0, and their update (eq. 3 and 9)."""
    rank_among_all = ranking.positives + ranking.negatives
    errors = ranking.negatives / rank_among_all
    return Update(errors, -errors, 1 / rank_among_all)


@torch.no_grad()
def sorting_update(ranking: Ranking, ious: Tensor) -> Update:
    """Errors of the order among the positives, and their update (eq. 4 and 10)."""
    scores = ranking.steps.pos_scores
    errors, pushed = torch.zeros_like(scores), torch.zeros_like(scores)
    for rows in torch.arange(len(scores), device=scores.device).split(BLOCK):
        above = ranking.steps.step(scores[None] - scores[rows, None])  # [B, P]
        should_be_below = above * (ious[None] < ious[rows, None])
        wrong = should_be_below.sum(dim=1)
        right = above - should_be_below
        current = (above @ (1 - ious)) / above.sum(dim=1)
        target = (right @ (1 - ious)) / right.sum(dim=1)  # the own pair keeps it above 0
        errors[rows] = torch.where(wrong > 0, current - target, 0)
        pushed += (errors[rows] / wrong.clamp(min=torch.finfo(wrong.dtype).tiny)) @ should_be_below
    return Update(errors, pushed - errors, torch.zeros_like(errors))
