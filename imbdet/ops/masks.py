"""Where a mask is true."""

import numpy as np
import torch
from torch import Tensor


def true_idxs(mask: Tensor) -> Tensor:
    """Indices (V,) int64, in ascending order, of what is true in a mask (N,) bool.

    On a CPU NumPy finds them in a fifth of the time of ``torch.nonzero``.
    """
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().squeeze(1)
