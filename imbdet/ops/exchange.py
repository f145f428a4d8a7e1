"""Exchange between processes, so that a loss is computed over the samples of all of them.

Functions take a process ``group``; None is this process alone, which exchanges nothing. All
processes of a group call the same functions in the same order, whether they have samples or not.
Values may be NaN or infinite.

Each process computes the gradient with respect to its own logits, and DistributedDataParallel
averages the gradients of W processes instead of adding them. So each process multiplies its
gradient by W: the average is then the gradient of one process that holds all samples.
"""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from imbdet.ops.first_order import first_order


def num_processes(group: ProcessGroup | None) -> int:
    """W, the factor by which a process multiplies its gradient."""
    return 1 if group is None else group.size()


def total(values: Tensor, group: ProcessGroup | None) -> Tensor:
    """Sum of the processes' values, which have the same shape everywhere; detached."""
    values = values.detach()
    if group is not None:
        values = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(values, group=group)
    return values


def gather(values: Tensor, group: ProcessGroup) -> Tensor:
    """(W, ...) values of the processes, which have the same shape everywhere; with gradient."""
    everything: Tensor = _Gather.apply(values, group)
    return everything


class Pool:
    """Numbers of which each process holds some, joined in the order of the processes.

    Args:
        num_own: number of those that this process holds.
        group: the processes.
        device: the device of the exchanged tensors.

    Attributes:
        own: slice of this process's numbers among all.
        num_processes: W.
    """

    def __init__(self, num_own: int, group: ProcessGroup | None, device: torch.device):
        self.group, self.num_processes = group, num_processes(group)
        self.sizes, first = [num_own], 0
        if group is not None:
            self.sizes = gather(torch.tensor(num_own, device=device), group).tolist()
            first = sum(self.sizes[: group.rank()])
        self.own = slice(first, first + num_own)

    def join(self, values: Tensor) -> Tensor:
        """The values of all processes, with gradient, from the (num_own,) of this one."""
        if self.group is None or not any(self.sizes):
            return values
        padded = F.pad(values, (0, max(self.sizes) - len(values)))
        parts = zip(gather(padded, self.group), self.sizes, strict=True)
        return torch.cat([part[:size] for part, size in parts])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        everything = values.new_empty(group.size(), *values.shape)
        distributed.all_gather_into_tensor(everything, values[None].contiguous(), group=group)
        return everything

    @staticmethod
    @first_order
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor, None]:
        return num_processes(ctx.group) * grads[ctx.group.rank()], None
