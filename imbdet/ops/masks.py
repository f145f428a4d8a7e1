"""Where a mask is true."""

import numpy as np
import torch
from torch import Tensor


def true_idxs(mask: Tensor, count: int | None = None) -> Tensor:
    """Indices (V,) int64, in ascending order, of what is true in a mask (N,) bool.

    On a CPU NumPy finds them in a fifth of the time of ``torch.nonzero``.

    Args:
        mask: (N,) bool.
        count: V, if it is known: a GPU is then not waited for.
    """
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().squeeze(1) if count is None else search_true(mask, count)


def search_true(mask: Tensor, count: int) -> Tensor:
    """The same for ``count`` that are true: each where the running number of them reaches it."""
    return torch.searchsorted(mask.cumsum(dim=0), torch.arange(1, count + 1, device=mask.device))
