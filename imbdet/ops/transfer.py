"""Transfer of numbers to a device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(
    numbers: Sequence[float], device: torch.device, dtype: torch.dtype = torch.int64
) -> Tensor:
    """(N,) numbers as a tensor, without waiting for the device as ``torch.tensor`` would."""
    return torch.tensor(numbers, dtype=dtype).to(device, non_blocking=True)
