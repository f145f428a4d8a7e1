"""Batches in several processes, the losses of a process, and the bytes that it sent."""

import functools
import itertools
import math
from typing import NamedTuple
from unittest import mock

import torch
from torch import distributed

from imbdet.losses import GHMCLoss, GHMRLoss, dr_loss
from imbdet.ops.exchange import num_processes
from tests.losses.ranking_problems import KINDS, LOSSES, random_problem


def summed(loss):
    """The sum of a loss over samples, as a caller computes it."""

    def total(x, y, q, *, group=None):
        return (num_processes(group) * loss(x, y, q, group=group).sum(),)

    return total


def deltas_of(quality):
    return quality[:, None].expand(-1, 4)


def weighted(loss):
    """A loss with weights that are functions of a row, some of them 0."""

    def by_weights(x, y, q, **kwargs):
        return loss(x, y, q, weights=weights_of(x, y), **kwargs)

    return by_weights


def weights_of(logits, labels):
    """Weights in {0, 1/2, 1, ..., 3}."""
    scores = logits.detach().double().nan_to_num().sum(dim=1)
    return (scores.mul(7).floor() + labels).remainder(7) / 2


RANKINGS = {
    **LOSSES,
    "ap, not interpolated": functools.partial(LOSSES["ap"], interpolated=False),
    "alrp, hard order": functools.partial(LOSSES["alrp"], smooth_localisation=False),
    **{f"{name}, hard step": functools.partial(loss, delta=0) for name, loss in LOSSES.items()},
    "dr": lambda x, y, q, **kwargs: (dr_loss(x, y, **kwargs),),
}
RANKINGS |= {f"{name}, weighted": weighted(RANKINGS[name]) for name in (*LOSSES, "dr")}
ALL = {
    **RANKINGS,
    "ghm_c": summed(lambda x, y, q, group: GHMCLoss()(x, y, group)),
    "ghm_c, weighted": summed(
        lambda x, y, q, group: GHMCLoss()(x, y, group, weights=weights_of(x, y))
    ),
    "ghm_r": summed(lambda x, y, q, group: GHMRLoss()(deltas_of(q), 0 * deltas_of(q), group)),
}

# Where the rows of two and of three processes begin and end.
CUTS = {
    "even": (0, 40, 80, 120),
    "uneven": (0, 7, 80, 120),
    "no rows": (0, 60, 60, 120),
}
LABELS = ["random", "no positives in the first", "all ignored in the last", "no positives"]
DTYPES = [torch.float32, torch.float64, torch.bfloat16]


class Problem(NamedTuple):
    """The choice of a batch; ``num_processes`` of 2 leaves out the rows of the third."""

    kind: str
    cuts: str
    labels: str
    dtype: torch.dtype
    num_processes: int

    def batch(self):
        """Logits, labels and quality of the positives of the whole batch."""
        logits, labels, _ = random_problem(120, 3, 0, self.kind)
        labels = labels.clone()
        first, *_, last, end = CUTS[self.cuts][: self.num_processes + 1]
        second = CUTS[self.cuts][1]
        if self.labels == "no positives in the first":
            labels[first:second] = 3
        elif self.labels == "all ignored in the last":
            labels[last:end] = -1
        elif self.labels == "no positives":
            labels[:] = 3
        num_positives = int(((labels >= 0) & (labels < 3)).sum())
        generator = torch.Generator().manual_seed(0)
        quality = torch.rand(num_positives, generator=generator).mul(8).round() / 8
        dtype = torch.promote_types(self.dtype, torch.float32)
        return cut(logits.detach().to(self.dtype), labels, quality.to(dtype), slice(0, end))

    def part(self, rank):
        """The part of the batch in one process."""
        return cut(*self.batch(), slice(*CUTS[self.cuts][rank : rank + 2]))


PROBLEMS = [
    *(Problem(kind, "uneven", "random", dtype, 3) for kind in KINDS for dtype in DTYPES),
    *(Problem("quantised", *how, torch.float64, 2) for how in itertools.product(CUTS, LABELS)),
    Problem("quantised", "no rows", "random", torch.float32, 3),
    Problem("random", "no rows", "no positives in the first", torch.float32, 3),
]


def cut(logits, labels, quality, rows):
    """Some of the rows, and the quality of their positives."""
    positives = ((labels >= 0) & (labels < logits.shape[1])).nonzero().squeeze(1)
    is_kept = (positives >= rows.start) & (positives < rows.stop)
    return logits[rows], labels[rows], quality[is_kept]


def evaluate(loss, logits, labels, quality, **kwargs):
    """Values of a loss, and the gradients, by logits and quality, of their sum with factors."""
    inputs = logits.detach().requires_grad_(), quality.detach().requires_grad_()
    values = torch.stack(loss(inputs[0], labels, inputs[1], **kwargs))
    total = (values * torch.arange(1, len(values) + 1)).sum()
    if not total.requires_grad:  # there are no positives
        return values, *map(torch.zeros_like, inputs)
    grads = torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)
    return values.detach(), *grads


def evaluate_all():
    """Results of this process: of all problems, of the first again, with a NaN, and bytes."""
    rank, results = distributed.get_rank(), {}
    groups = {2: distributed.new_group([0, 1]), 3: distributed.group.WORLD}
    for i, problem in enumerate(PROBLEMS):
        group = groups[problem.num_processes]
        for name, loss in ALL.items() if rank < problem.num_processes else ():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                results[i, name] = evaluate(loss, *problem.part(rank), group=group)
    part, world = PROBLEMS[0].part(rank), distributed.group.WORLD
    again = {name: evaluate(loss, *part, group=world) for name, loss in ALL.items()}
    return results, again, values_with_nan(rank), bytes_told(rank)


def values_with_nan(rank):
    """Values of each loss of a ranking if one process has a NaN, in a negative or a positive."""
    values = {}
    for name, is_positive in itertools.product(RANKINGS, [False, True]):
        logits, labels, quality = PROBLEMS[0].part(rank)
        if rank == 1:
            row = (labels == 1).nonzero()[0]
            logits[row, 1 if is_positive else 0] = math.nan
        values[name, is_positive] = evaluate(
            RANKINGS[name], logits, labels, quality, group=distributed.group.WORLD
        )[0]
    return values


def bytes_told(rank):
    """Bytes that this process sends to others in each loss."""
    told = {}
    with (
        mock.patch.object(distributed, "all_reduce", wraps=distributed.all_reduce) as reduce,
        mock.patch.object(
            distributed, "all_gather_into_tensor", wraps=distributed.all_gather_into_tensor
        ) as gather,
    ):
        for name, loss in ALL.items():
            evaluate(loss, *PROBLEMS[0].part(rank), group=distributed.group.WORLD)
            given = [call.args[0] for call in reduce.call_args_list]
            given += [call.args[1] for call in gather.call_args_list]
            told[name] = sum(values.nbytes for values in given)
            reduce.reset_mock()
            gather.reset_mock()
    return told
