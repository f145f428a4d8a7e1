"""The gradients of positive and of negative entries so far, class by class.

The ratio of a class is the sum of its positive entries' gradient norms over that of its negatives'.
A rare class has almost only negatives, hence a ratio near 0.

Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for Long-tailed Object
Detection", CVPR 2021, https://arxiv.org/abs/2012.08548
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.ops.exchange import total


class GradientRatio(KeepsMissingBuffers):
    """Sums of gradient norms of the classes, as float64 buffers that a checkpoint keeps.

    Attributes:
        pos_grads: (K,) sums over positive entries.
        neg_grads: (K,) sums over negative entries.
    """

    pos_grads: Tensor
    neg_grads: Tensor

    def __init__(self, num_classes: int):
        """Start without gradients of the K = ``num_classes`` classes."""
        super().__init__()
        self.num_classes = num_classes
        for name in ("pos_grads", "neg_grads"):
            self.register_buffer(name, torch.zeros(num_classes, dtype=torch.float64))

    def ratios(self, start: float) -> Tensor:
        """(K,) positive over negative gradients, float64; ``start`` for classes without any."""
        ratios = self.pos_grads / (self.neg_grads + 1e-10)
        return ratios.where(self.pos_grads + self.neg_grads > 0, start)

    @torch.no_grad()
    def collect(self, pos_grads: Tensor, neg_grads: Tensor, group: ProcessGroup | None) -> None:
        """In training, add the (K,) sums of a batch, over all processes of the group."""
        if self.training:
            batch = total(torch.stack([pos_grads, neg_grads]).double(), group)
            self.pos_grads += batch[0]
            self.neg_grads += batch[1]
