"""Unwraps the detector from ``DistributedDataParallel``."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def unwrapped(model: nn.Module) -> nn.Module:
    """The detector itself, which may be inside ``DistributedDataParallel``."""
    return model.module if isinstance(model, DistributedDataParallel) else model
