"""Rows of a batch, image after image."""

from collections.abc import Sequence

import torch
from torch import Tensor


def image_of_rows(num_per_image: Sequence[int], device: torch.device) -> Tensor:
    """(M,) int64, the image of each row.

    Args:
        num_per_image: number of rows of each image, M in all.
        device: of the result.
    """
    counts = torch.tensor(num_per_image, dtype=torch.int64, device=device)
    images = torch.arange(len(counts), device=device)
    return images.repeat_interleave(counts, output_size=sum(num_per_image))
