"""Rows of a batch, image after image."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from imbdet.ops.transfer import to_device


def image_of_rows(num_per_image: Sequence[int], device: torch.device) -> Tensor:
    """(M,) int64, the image of each row.

    Args:
        num_per_image: number of rows of each image, M in all.
        device: device of the result.
    """
    return repeat_each(torch.arange(len(num_per_image), device=device), num_per_image)


def repeat_each(values: Tensor, times: Sequence[int]) -> Tensor:
    """(sum of ``times``,) the values, (B,), with ``values[i]`` repeated ``times[i]`` times."""
    if len(values) == 1:
        return values.expand(times[0])
    counts = to_device(times, values.device)
    return values.repeat_interleave(counts, output_size=sum(times))


def consecutive_rows(starts: Sequence[int], counts: Sequence[int], device: torch.device) -> Tensor:
    """(S,) int64, ``counts[i]`` consecutive rows from ``starts[i]`` on, for each image i.

    Args:
        starts: first row of each image.
        counts: number of rows of each image, S in all.
        device: device of the result.
    """
    if len(starts) == 1:
        return torch.arange(starts[0], starts[0] + counts[0], device=device)
    offsets, num_before = [], 0
    for start, count in zip(starts, counts, strict=True):
        offsets.append(start - num_before)
        num_before += count
    return torch.arange(num_before, device=device) + repeat_each(to_device(offsets, device), counts)


def image_after_image(order: Tensor, num_per_image: Sequence[int]) -> Tensor:
    """(M,) int64, an order of all rows, (M,) int64, sorted by image and otherwise unchanged."""
    if len(num_per_image) == 1:
        return order
    images = image_of_rows(num_per_image, order.device)
    return order[images[order].argsort(stable=True)]


def images_together(num_images: int, fit: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Start and end (exclusive) of runs of images, each of which takes as many as fit.

    Args:
        num_images: number of images.
        fit: function of a start and an end that returns whether these images fit; a single one is
            taken anyway.
    """
    start = 0
    while start < num_images:
        stop = start + 1
        while stop < num_images and fit(start, stop + 1):
            stop += 1
        yield start, stop
        start = stop
