"""Distribution focal loss: a box's side is a distribution over whole distances instead of a number.

Li et al., "Generalized Focal Loss: Learning Qualified and Distributed Bounding Boxes for Dense
Object Detection", NeurIPS 2020, https://arxiv.org/abs/2006.04388

A side is at one of the distances 0, 1, ..., R from its point, in units of the level's stride; the
distribution over them is the softmax of R + 1 logits.
"""

import torch
from torch import Tensor

from imbdet.ops.precision import at_least_float32


def expected_distance(side_logits: Tensor) -> Tensor:
    """The mean of the distribution over 0, 1, ..., R, by which a box is decoded (eq. 5).

    Args:
        side_logits: (..., R + 1) logits of the distances of each side.

    Returns:
        (...) distances in [0, R], in strides; float32 at least.
    """
    probs = at_least_float32(side_logits).softmax(dim=-1)
    return (probs * torch.arange(probs.shape[-1], device=probs.device)).sum(dim=-1)


def distribution_focal_loss(side_logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with the two whole distances around the target, by their nearness (eq. 6).

    It is least where these have all of the probability and their mean is the target. A target
    outside [0, R] counts as the nearest distance; the published heads cut targets at R - 0.1.

    Args:
        side_logits: (..., R + 1) logits of the distances of each side, R >= 1.
        targets: (...) distances to reach, in strides.

    Returns:
        (...) losses in float32 at least. Sides and samples are weighted and summed by the caller.

    Raises:
        ValueError: there are fewer than two distances, or the shapes do not fit.
    """
    num_distances = side_logits.shape[-1] if side_logits.dim() else 0
    if num_distances < 2 or side_logits.shape[:-1] != targets.shape:
        raise ValueError(
            "side_logits must have the shape of targets and at least two distances beyond it, "
            f"not {tuple(side_logits.shape)} with targets {tuple(targets.shape)}"
        )
    log_probs = at_least_float32(side_logits).log_softmax(dim=-1)
    targets = targets.detach().to(log_probs.dtype).clamp(0, num_distances - 1)
    lower = targets.long().clamp(0, num_distances - 2)  # a valid index for NaN, too
    upper_share = targets - lower
    log_lower, log_upper = (
        log_probs.gather(-1, idxs[..., None]).squeeze(-1) for idxs in (lower, lower + 1)
    )
    return -(1 - upper_share) * log_lower - upper_share * log_upper  # eq. 6
