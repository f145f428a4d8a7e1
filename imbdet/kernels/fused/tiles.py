"""Tiles of a matrix of logits, which programs hold in their registers.

A program takes some rows, and iterates over their columns tile by tile.

Shape shorthand: M rows, K columns.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Entries of a tile: eight for a thread. With sixteen, kernels for Hopper run out of registers.
TILE = 1024
# Possible numbers of its columns; a matrix with fewer than the least has narrower tiles.
WIDTHS = (16, 32, 64, 128)


def tile_columns(num_columns: int) -> int:
    """Number of columns of a tile, a power of 2: the least padding, then the widest tile."""
    if num_columns <= WIDTHS[0]:
        return 1 << max(num_columns - 1, 0).bit_length()
    return min(WIDTHS, key=lambda width: (-num_columns % width, -width))


def launch(
    kernel: Any, pred_logits: Tensor, gt_labels: Tensor, *arguments: Any, **constants: Any
) -> None:
    """Run a kernel over all rows.

    Args:
        kernel: kernel whose first parameters are the logits, the stride of their rows, the labels,
            M and K, and whose last ones are the numbers of rows and columns of a tile.
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64 labels.
        arguments: further arguments.
        constants: further constants of the compiled code, by name.
    """
    num_rows, num_columns = pred_logits.shape
    if num_rows == 0:
        return
    logits = pred_logits if pred_logits.stride(1) == 1 else pred_logits.contiguous()
    columns = tile_columns(num_columns)
    rows = TILE // columns
    with torch.cuda.device_of(logits):
        kernel[(triton.cdiv(num_rows, rows),)](
            logits,
            logits.stride(0),
            gt_labels.contiguous(),
            num_rows,
            num_columns,
            *arguments,
            **constants,
            ROWS=rows,
            COLUMNS=columns,
        )


@triton.jit
def take_rows(row_stride, labels, num_rows, ROWS: tl.constexpr):
    """A program's rows: their indices, offsets of their logits, labels, and whether they exist."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    is_row = rows < num_rows
    label = tl.load(labels + rows, mask=is_row, other=-1)
    return rows, rows.to(tl.int64) * row_stride, label, is_row


@triton.jit
def load_tile(logits, starts, is_row, first, num_columns, COLUMNS: tl.constexpr):
    """A tile of some rows from a column on: columns, logits, and whether they exist."""
    columns = first + tl.arange(0, COLUMNS)
    is_entry = is_row[:, None] & (columns < num_columns)[None, :]
    x = tl.load(logits + starts[:, None] + columns[None, :], mask=is_entry, other=0.0)
    return columns[None, :], x, is_entry


@triton.jit
def store_tile(values, tile, rows, columns, num_columns, is_entry):
    """Write a tile of a contiguous matrix (M, K), rounded to its type."""
    places = rows.to(tl.int64)[:, None] * num_columns + columns
    tl.store(values + places, tile.to(values.dtype.element_ty), mask=is_entry)
