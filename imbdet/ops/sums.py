"""Sums by a key, without waiting for a GPU."""

import torch
from torch import Tensor


def sum_by(keys: Tensor, values: Tensor | None, num_keys: int) -> Tensor:
    """(num_keys,) float64, the sum of the values of each key, or the number of its occurrences.

    ``torch.bincount`` computes the same, but waits for a GPU to find the largest key.

    Args:
        keys: (N,) int64 in [0, num_keys).
        values: (N,) values, or None for ones.
        num_keys: number of keys.
    """
    values = torch.ones_like(keys, dtype=torch.float64) if values is None else values.double()
    return values.new_zeros(num_keys).index_add_(0, keys, values)
