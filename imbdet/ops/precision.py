"""Float types of losses: in half precision areas overflow, and sums lose their small terms."""

import torch
from torch import Tensor


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32, or the type itself if it is wider."""
    return torch.promote_types(dtype, torch.float32)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32, or unchanged if it is wider."""
    return tensor.to(wide_dtype(tensor.dtype))
