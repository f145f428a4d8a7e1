"""Sums by a key, without waiting for a GPU."""

import torch
from torch import Tensor


def sum_by(keys: Tensor, values: Tensor | None, num_keys: int) -> Tensor:
    """(num_keys,) float64, the sum of the values of each key, or how often it occurs.

    ``torch.bincount`` computes the same, but asks a GPU for the largest key.

    Args:
        keys: (N,) int64 in [0, num_keys).
        values: (N,), or None for ones.
        num_keys: how many keys there are.
    """
    values = torch.ones_like(keys, dtype=torch.float64) if values is None else values.double()
    return values.new_zeros(num_keys).index_add_(0, keys, values)
