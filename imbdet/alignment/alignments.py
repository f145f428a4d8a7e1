"""How far two gradients point the same way, and how much that varies with the images.

Shape shorthand: U groups of training images, V groups of validation images, C columns of logits,
Q parameters of the layer for each.
"""

import torch
from torch import Tensor


def alignments(updates: Tensor, targets: Tensor) -> Tensor:
    """Cosine of the angle between a rule's gradient and that of a validation loss.

    To the first order, a step of length 1 lowers the validation loss by this cosine times the
    length of its gradient.

    Args:
        updates: (U, C, Q) gradient of the rule's loss, the sum over the images of each group.
        targets: (V, C, Q) gradient of the validation loss, in the same way.

    Returns:
        (1 + U + V, 1 + C) float64 in [-1, 1], NaN where one of the gradients is 0. Rows: all
        images, then without each group of training images, then without each group of validation
        images. Columns: the whole layer, then its part for each column of logits.
    """
    own, other = _without_each(len(updates), len(targets), updates.device)
    # Whatever groups count, nothing but the products of pairs of groups is needed.
    updates, targets = (part.transpose(0, 1).double() for part in (updates, targets))
    products = _weighted(updates @ targets.mT, own, other)
    lengths = _lengths(updates, own) * _lengths(targets, other)
    return torch.where(lengths > 0, products / lengths, torch.nan)


def _without_each(
    num_updates: int, num_targets: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(1 + U + V, U) and (1 + U + V, V): how often each group counts."""
    own, other = (
        torch.ones(1 + num_updates + num_targets, number, dtype=torch.float64, device=device)
        for number in (num_updates, num_targets)
    )
    own[1 : 1 + num_updates].fill_diagonal_(0)
    other[1 + num_updates :].fill_diagonal_(0)
    return own, other


def _lengths(gradients: Tensor, weights: Tensor) -> Tensor:
    """(1 + U + V, 1 + C) lengths of weighted sums of the groups."""
    return _weighted(gradients @ gradients.mT, weights, weights).clamp(min=0).sqrt()


def _weighted(products: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """(1 + U + V, 1 + C) products of weighted sums, from those of pairs of groups, (C, U, V)."""
    of_columns = torch.einsum("ru,cuv,rv->rc", first, products, second)
    return torch.cat([of_columns.sum(dim=1, keepdim=True), of_columns], dim=1)
