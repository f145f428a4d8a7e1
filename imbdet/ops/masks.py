"""Indices and numbers of the true elements of masks."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.ops.transfer import to_device


def true_idxs(mask: Tensor, count: int | None = None) -> Tensor:
    """Indices (V,) int64, in ascending order, of the true elements of a mask (N,) bool.

    On a CPU NumPy finds them in a fifth of the time of ``torch.nonzero``.

    Args:
        mask: (N,) bool mask.
        count: V, if it is known: a GPU is then not waited for.
    """
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().squeeze(1) if count is None else search_true(mask, count)


def split_idxs(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Indices, int64 and ascending, of the true and of the false elements of a mask (N,) bool.

    A GPU is waited for once.
    """
    true = true_idxs(mask)
    return true, true_idxs(~mask, len(mask) - len(true))


def search_true(mask: Tensor, count: int) -> Tensor:
    """(count,) int64 indices of the true elements of a mask with ``count`` of them, by a search."""
    return torch.searchsorted(mask.cumsum(dim=0), torch.arange(1, count + 1, device=mask.device))


def count_true(mask: Tensor, num_per_image: Sequence[int]) -> list[int]:
    """Number of each image's true elements in a mask, (M,) bool; a GPU is waited for once."""
    ends = to_device(list(accumulate(num_per_image, initial=0)), mask.device)
    before = F.pad(mask.cumsum(dim=0), (1, 0))[ends].tolist()
    return [stop - start for start, stop in pairwise(before)]
