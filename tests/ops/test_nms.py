"""Clusters of NMS against a loop over the boxes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou, nms

from imbdet.ops import box_matrices
from imbdet.samplers import nms_clusters


def definition(boxes, scores, iou_thresh):
    """Visit the boxes by score; each joins the first kept box that it overlaps, or is kept."""
    ious = box_iou(boxes, boxes)
    kept, clusters = [], [None] * len(boxes)
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        overlapping = [j for j in kept if ious[i, j] >= iou_thresh]
        clusters[i] = overlapping[0] if overlapping else i
        if not overlapping:
            kept.append(i)
    return clusters


# Small whole numbers give duplicates, boxes without area, and IoUs of exactly 1/2 and 1/3.
SIDE = st.tuples(st.integers(0, 6), st.integers(0, 4)).map(lambda x: (x[0], x[0] + x[1]))
BOXES = st.lists(st.tuples(SIDE, SIDE, st.integers(0, 4)), max_size=40)


@given(rows=BOXES, iou_thresh=st.sampled_from([0.0, 1 / 3, 0.5, 0.7, 1.0]))
def test_equals_the_definition(rows, iou_thresh):
    boxes = torch.tensor([[x1, y1, x2, y2] for (x1, x2), (y1, y2), _ in rows]).view(-1, 4).float()
    scores = torch.tensor([float(score) for *_, score in rows])
    got = nms_clusters(boxes, scores, iou_thresh)
    assert got.dtype == torch.int64
    assert got.tolist() == definition(boxes, scores.tolist(), iou_thresh)


def clouds(num_boxes, seed, num_objects=20):
    """Boxes in clouds around a few objects, as a detector predicts them."""
    generator = torch.Generator().manual_seed(seed)
    objects = torch.rand(num_objects, 2, generator=generator) * 500
    centres = objects[torch.randint(num_objects, (num_boxes,), generator=generator)]
    centres = centres + 10 * torch.randn(num_boxes, 2, generator=generator)
    sizes = 40 + 20 * torch.rand(num_boxes, 2, generator=generator)
    boxes = torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1)
    return boxes, torch.rand(num_boxes, generator=generator)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition_on_clouds(seed):
    boxes, scores = clouds(300, seed)
    scores = (scores * 50).round() / 50  # ties
    assert nms_clusters(boxes, scores, 0.5).tolist() == definition(boxes, scores.tolist(), 0.5)


@given(images=st.lists(BOXES, min_size=1, max_size=5), max_pairs=st.sampled_from([1, 500, 10**6]))
def test_images_are_as_each_by_itself(images, max_pairs):
    rows = [row for image in images for row in image]
    boxes = torch.tensor([[x1, y1, x2, y2] for (x1, x2), (y1, y2), _ in rows]).view(-1, 4).float()
    scores = torch.tensor([float(score) for *_, score in rows])
    counts = [len(image) for image in images]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_matrices, "MAX_PAIRS_ON_CPU", max_pairs)
        found = nms_clusters(boxes, scores, 0.5, counts)
    expected, first = [], 0
    for of_image in zip(boxes.split(counts), scores.split(counts), strict=True):
        expected.append(first + nms_clusters(*of_image, 0.5))
        first += len(of_image[0])
    assert found.equal(torch.cat(expected))


@pytest.mark.parametrize(("device", "expected"), [("cpu", 7), ("cuda", 3)])
def test_each_kind_of_device_has_its_own_limit(device, expected, monkeypatch):
    monkeypatch.setattr(box_matrices, "MAX_PAIRS_ON_CPU", 7)
    monkeypatch.setattr(box_matrices, "MAX_PAIRS", 3)
    assert box_matrices.max_pairs(torch.device(device)) == expected


def test_keeps_what_nms_keeps():
    boxes, scores = clouds(5000, seed=0)
    # Whole pixels, and a threshold that no ratio of their areas equals: rounding does not matter.
    boxes, iou_thresh = boxes.round(), 0.50001
    clusters = nms_clusters(boxes, scores, iou_thresh)
    kept = (clusters == torch.arange(5000)).nonzero().squeeze(1)
    assert torch.equal(kept, nms(boxes, scores, iou_thresh).sort().values)
    assert torch.equal(clusters.unique(), kept)


def test_a_chain_is_cut_at_every_second_box():
    # Each box overlaps with its neighbours alone, so that what is kept depends on all before it.
    left = torch.arange(50.0)
    boxes = torch.stack([left, 0 * left, left + 2, 0 * left + 1], dim=1)
    clusters = nms_clusters(boxes, -left, 1 / 3 - 1e-6)
    assert clusters.tolist() == [i // 2 * 2 for i in range(50)]


def test_iou_at_the_threshold_joins():
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])
    assert nms_clusters(boxes, torch.tensor([0.1, 0.9]), 0.5).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    # Areas of 1e6 overflow in float16.
    boxes = torch.tensor([[0, 0, 1000, 1000], [0, 0, 1000, 992], [1000, 0, 1008, 8]], dtype=dtype)
    scores = torch.tensor([0.5, 0.75, 0.25], dtype=dtype)
    assert nms_clusters(boxes, scores, 0.5).tolist() == [1, 1, 2]


@pytest.mark.parametrize("num_boxes", [0, 1])
def test_hardly_any_box(num_boxes):
    boxes = torch.zeros(num_boxes, 4)
    assert nms_clusters(boxes, boxes[:, 0], 0.5).tolist() == [0] * num_boxes


def test_in_mixed_precision_the_same_boxes_are_kept():
    boxes, scores = clouds(600, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = nms_clusters(boxes, scores, 0.5)
    assert torch.equal(mixed, nms_clusters(boxes, scores, 0.5))
