"""Losses that are a sum over the entries of a (M, K) matrix of logits, one sigmoid per entry.

Almost every entry is a negative, so the loss is computed as if all were, chunk after chunk, and the
few positive entries are then overwritten. Neither targets nor temporaries have the size of the
logits; the gradient is computed in the backward pass, with the incoming gradient folded in.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from imbdet.kernels.backend import is_fused
from imbdet.kernels.chunks import Chunk, iterate_chunks
from imbdet.ops.first_order import first_order
from imbdet.ops.labels import check_labels
from imbdet.ops.precision import wide_dtype


class EntryLoss(Protocol):
    """The loss of an entry as a function of its logit: a frozen dataclass with two methods.

    They are elementwise functions of logits of any shape, float32 or float64. Those of positive
    entries take the ``pos_args`` of :func:`entrywise_loss` as further arguments. A kernel of Triton
    that computes the same is declared by :func:`fused_as`.
    """

    @property
    def value(self) -> Callable[..., Tensor]:
        """The loss."""

    @property
    def grad(self) -> Callable[..., Tensor]:
        """The derivative of the loss with respect to the logit."""


class FusedFormula(NamedTuple):
    """The functions that a kernel of Triton computes in place of an entry loss.

    Attributes:
        name: name of the functions in ``kernels/fused/entries.py``.
        numbers: attributes of the entry loss that are their numbers, in order, at most three.
        table: attribute that is their table, or empty.
    """

    name: str
    numbers: tuple[str, ...]
    table: str


_FORMULAS: dict[type, FusedFormula] = {}
E = TypeVar("E", bound=type)


def fused_as(name: str, *numbers: str, table: str = "") -> Callable[[E], E]:
    """Declare that a kernel of Triton computes the decorated entry loss, too.

    This holds for the class itself: a subclass may have another formula, and declares its own.

    Args:
        name, numbers, table: see :class:`FusedFormula`.
    """

    def declare(entry_type: E) -> E:
        _FORMULAS[entry_type] = FusedFormula(name, numbers, table)
        return entry_type

    return declare


def fused_formula(entry: EntryLoss) -> FusedFormula | None:
    """The formula of a kernel of Triton for an entry loss; None if there is no kernel."""
    return _FORMULAS.get(type(entry))


def entry_weights(alpha: float) -> tuple[float, float]:
    """Weights of positive and negative entries: alpha <= 1 and 1 - alpha; both 1 for alpha < 0."""
    return (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)


def entrywise_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    positive: EntryLoss,
    negative: EntryLoss,
    pos_args: Sequence[Tensor] = (),
) -> Tensor:
    """Sum the losses of the entries of each row.

    Args:
        pred_logits: (M, K) logits of any floating type; the sums are in float32 at least.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored (the row has no loss).
        positive: loss of the entry (row, label of the row).
        negative: loss of every other entry.
        pos_args: tensors (P,) on which the loss of a positive depends, such as its soft target, in
            the order of the rows; detached.

    Returns:
        (M,) losses, float32 at least, differentiable once.
    """
    check_labels(pred_logits, gt_labels)
    return sum_entries(
        pred_logits, gt_labels, positive=positive, negative=negative, pos_args=pos_args
    )


def sum_entries(
    pred_logits: Tensor,
    gt_labels: Tensor,
    *,
    positive: EntryLoss,
    negative: EntryLoss,
    pos_args: Sequence[Tensor] = (),
) -> Tensor:
    """See :func:`entrywise_loss`; for labels that have been checked."""
    losses: Tensor = _EntrywiseLoss.apply(pred_logits, gt_labels, positive, negative, *pos_args)
    return losses


class EntryKernel(Protocol):
    """Computes the losses of a matrix of logits, and their gradient.

    Arguments are those of :func:`entrywise_loss`.
    """

    def losses(self, pred_logits: Tensor, gt_labels: Tensor, pos_args: Sequence[Tensor]) -> Tensor:
        """(M,) losses, float32 at least; 0 for ignored rows."""
        ...

    def grads(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        pos_args: Sequence[Tensor],
        grad_losses: Tensor,
    ) -> Tensor:
        """(M, K) gradients of the logits, in their type, from the (M,) gradients of the losses."""
        ...


class ChunkedEntries:
    """Computes chunk after chunk, by PyTorch's operations; see :class:`EntryKernel`."""

    def __init__(self, positive: EntryLoss, negative: EntryLoss):
        self.positive, self.negative = positive, negative

    def losses(self, pred_logits: Tensor, gt_labels: Tensor, pos_args: Sequence[Tensor]) -> Tensor:
        dtype = wide_dtype(pred_logits.dtype)
        losses = pred_logits.new_empty(len(pred_logits), dtype=dtype)
        for chunk in iterate_chunks(pred_logits, gt_labels):
            values = self.negative.value(chunk.logits)
            values[chunk.pos_entries] = self.positive.value(*_of_positives(chunk, pos_args))
            losses[chunk.rows] = values.sum(dim=1).masked_fill_(chunk.is_ignored, 0)
        return losses

    def grads(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        pos_args: Sequence[Tensor],
        grad_losses: Tensor,
    ) -> Tensor:
        grad_logits = torch.empty_like(pred_logits)
        for chunk in iterate_chunks(pred_logits, gt_labels):
            grads = self.negative.grad(chunk.logits)
            grads[chunk.pos_entries] = self.positive.grad(*_of_positives(chunk, pos_args))
            grads *= grad_losses[chunk.rows, None]
            grad_logits[chunk.rows] = grads.masked_fill_(chunk.is_ignored[:, None], 0)
        return grad_logits


def _kernel(
    pred_logits: Tensor, positive: EntryLoss, negative: EntryLoss, num_args: int
) -> EntryKernel:
    if is_fused(pred_logits):
        from imbdet.kernels.fused.entrywise import fused_entries  # Triton is not everywhere

        fused = fused_entries(positive, negative, num_args)
        if fused is not None:
            return fused
    return ChunkedEntries(positive, negative)


class _EntrywiseLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pred_logits: Tensor,
        gt_labels: Tensor,
        positive: EntryLoss,
        negative: EntryLoss,
        *pos_args: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(pred_logits, gt_labels, *pos_args)
        ctx.kernel = _kernel(pred_logits, positive, negative, len(pos_args))
        losses: Tensor = ctx.kernel.losses(pred_logits, gt_labels, pos_args)
        return losses

    @staticmethod
    @first_order
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        pred_logits, gt_labels, *pos_args = ctx.saved_tensors
        grad_logits = ctx.kernel.grads(pred_logits, gt_labels, pos_args, grad_losses)
        return grad_logits, None, None, None, *(None for _ in pos_args)


def _of_positives(chunk: Chunk, pos_args: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Logits and arguments of the chunk's positives."""
    return chunk.logits[chunk.pos_entries], *(arg[chunk.positives] for arg in pos_args)
