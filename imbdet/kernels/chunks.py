"""Iteration over a large matrix of logits with temporaries of a small, fixed size."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from imbdet.ops.labels import positive_entries
from imbdet.ops.precision import at_least_float32

# A chunk on the CPU fits the cache; on other devices few large chunks keep the number of kernels
# low and the temporaries bounded.
CHUNK_ENTRIES_CPU = 2**17
CHUNK_ENTRIES = 2**24


class Chunk(NamedTuple):
    """Some consecutive rows of an (M, K) matrix.

    Attributes:
        rows: C rows of the matrix.
        logits: (C, K) logits, a view where no conversion is needed.
        pos_entries: rows within the chunk and classes of its positive entries.
        positives: slice of these among all positives of the matrix.
        is_ignored: (C,) bool, whether a row is ignored.
    """

    rows: slice
    logits: Tensor
    pos_entries: tuple[Tensor, Tensor]
    positives: slice
    is_ignored: Tensor


def row_slices(pred_logits: Tensor) -> Iterator[slice]:
    """The rows of logits (M, K), cut into chunks."""
    num_rows, num_classes = pred_logits.shape
    entries = CHUNK_ENTRIES_CPU if pred_logits.device.type == "cpu" else CHUNK_ENTRIES
    size = max(entries // max(num_classes, 1), 1)
    return (slice(start, start + size) for start in range(0, num_rows, size))


def iterate_chunks(pred_logits: Tensor, gt_labels: Tensor) -> Iterator[Chunk]:
    """Cut logits (M, K) and labels (M,) into chunks; half precision becomes float32."""
    slices = list(row_slices(pred_logits))
    pos_rows, pos_classes = positive_entries(gt_labels, pred_logits.shape[1])
    stops = torch.tensor([rows.stop for rows in slices], dtype=torch.int64)
    cuts = [0, *torch.searchsorted(pos_rows, stops.to(pos_rows.device)).tolist()]
    for rows, (cut, next_cut) in zip(slices, pairwise(cuts), strict=True):
        positives = slice(cut, next_cut)
        pos_entries = pos_rows[positives] - rows.start, pos_classes[positives]
        logits = at_least_float32(pred_logits[rows])
        yield Chunk(rows, logits, pos_entries, positives, gt_labels[rows] < 0)
