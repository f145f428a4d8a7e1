import math

import numpy as np
import pytest
import torch

from imbdet.records import (
    IOU_EDGES,
    LOSS_EDGES,
    JointHistograms,
    joint_histogram,
    read_histograms,
)
from imbdet.records.histograms import CELL_SIZE, picture, to_npz
from tests.records.factories import NUM_CLASSES, make_record


def brute_force(ious, losses):
    """Counts by a loop over the samples and the edges."""
    counts = torch.zeros(20, 35, dtype=torch.int64)
    for iou, loss in zip(ious.tolist(), losses.tolist(), strict=True):
        row = min(sum(iou >= edge for edge in IOU_EDGES[1:].tolist()), 19)
        column = 34 if math.isnan(loss) else sum(loss >= edge for edge in LOSS_EDGES.tolist())
        counts[row, column] += 1
    return counts


def test_counts_are_their_definition():
    generator = torch.Generator().manual_seed(0)
    ious = torch.rand(500, generator=generator)
    losses = 10 ** (12 * torch.rand(500, generator=generator) - 8)
    # Values on the edges, beyond them, and not known.
    ious[:21], losses[30:63] = IOU_EDGES, LOSS_EDGES
    losses[100:104] = torch.tensor([0, torch.inf, torch.nan, 1e-30])
    counts = joint_histogram(ious, losses)
    assert counts.dtype == torch.int64
    assert torch.equal(counts, brute_force(ious, losses))


def test_the_iou_is_counted_where_no_loss_is_known():
    ious = torch.tensor([0.0, 0.04, 0.5, 1.0])
    counts = joint_histogram(ious)
    assert counts[:, -1].tolist() == [2] + 9 * [0] + [1] + 8 * [0] + [1]
    assert counts.sum() == 4
    assert joint_histogram(ious[:0]).sum() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_counted_in_float32(dtype):
    ious, losses = torch.rand(50).to(dtype), torch.rand(50).to(dtype)
    if dtype == torch.float64:
        ious, losses = ious.float().double(), losses.float().double()
    assert torch.equal(joint_histogram(ious, losses), joint_histogram(ious.float(), losses.float()))


def test_counts_add_up_over_parts_batches_and_files(tmp_path):
    histograms = JointHistograms(["rpn", "roi_heads"])
    records = [make_record(seed=seed) for seed in range(4)]
    for number, batch in enumerate((records[:2], records[2:])):
        for record in batch:
            histograms.add("roi_heads", "chosen", record.samples.candidates, record.cls_losses)
            histograms.add("rpn", "available", record.samples.candidates, None)
        named = histograms.named(histograms.take())
        (tmp_path / f"part-{number}.npz").write_bytes(to_npz(named, num_batches=2))
    sums = read_histograms(tmp_path)
    assert sums.pop("num_batches") == 4
    labels = torch.cat([record.samples.gt_labels for record in records])
    ious = torch.cat([record.samples.ious for record in records])
    losses = torch.cat([record.cls_losses for record in records])
    masks = {"pos": (labels >= 0) & (labels < NUM_CLASSES), "neg": labels == NUM_CLASSES}
    for sign, mask in masks.items():
        expected = brute_force(ious[mask], losses[mask])
        np.testing.assert_array_equal(sums.pop(f"roi_heads/{sign}_chosen"), expected)
        expected = brute_force(ious[mask], torch.full((int(mask.sum()),), torch.nan))
        np.testing.assert_array_equal(sums.pop(f"rpn/{sign}_available"), expected)
    assert len(sums) == 4
    assert not any(counts.any() for counts in sums.values())
    with np.load(tmp_path / "part-0.npz") as arrays:
        np.testing.assert_array_equal(arrays["loss_edges"], LOSS_EDGES)
        np.testing.assert_array_equal(arrays["iou_edges"], IOU_EDGES)


def test_a_picture_shows_high_losses_at_the_top_and_high_ious_at_the_right():
    counts = np.zeros((20, 35), dtype=np.int64)
    assert (picture(counts) == 255).all()
    counts[19, 33], counts[0, 0], counts[5, 34] = 100, 1, 10**6
    image, side = picture(counts), CELL_SIZE
    assert image.shape == (3, 34 * side, 20 * side)
    assert image.dtype == np.uint8
    assert (image[:, :side, -side:] == 0).all()
    assert ((image[:, -side:, :side] > 0) & (image[:, -side:, :side] < 255)).all()
    assert (image < 255).any(axis=0).sum() == 2 * side**2  # unknown losses are not shown
