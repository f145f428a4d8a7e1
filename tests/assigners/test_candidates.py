"""The IoUs of a batch's candidates do not depend on the assigner."""

import pytest
import torch

from imbdet.assigners import Priors, Targets, assign, atss, max_iou
from imbdet.assigners.pairs import box_iou
from imbdet.structures import Assignment, Regions


def random_boxes(number, generator):
    corners = torch.rand(number, 2, generator=generator) * 40
    return torch.cat([corners, corners + 2 + torch.rand(number, 2, generator=generator) * 30], 1)


def nobody(priors, targets):
    """An assigner that assigns no prior."""
    rows = torch.full((targets.num_images * len(priors),), -1)
    return Assignment(rows, torch.zeros(len(rows)))


@pytest.mark.parametrize("assigner", [max_iou, atss, nobody], ids=lambda f: f.__name__)
@pytest.mark.parametrize("counts", [[3, 0, 5], [0, 0, 0], [1, 1, 1]], ids=str)
@pytest.mark.parametrize("are_proposals", [False, True], ids=["anchors", "proposals"])
def test_ious_are_the_highest_with_any_object_of_the_image(assigner, counts, are_proposals):
    generator = torch.Generator().manual_seed(0)
    gt_boxes = random_boxes(sum(counts), generator)
    targets = Targets(gt_boxes, torch.zeros(len(gt_boxes), dtype=torch.int64), counts)
    if are_proposals:
        own = [4, 0, 7]
        priors = Priors(random_boxes(sum(own), generator), num_per_image=own)
        by_image = priors.boxes.split(own)
    else:
        priors = Priors(random_boxes(9, generator), level_sizes=[6, 3])
        by_image = [priors.boxes] * len(counts)
    found = assign(assigner, priors, targets, None, 1)
    expected = [
        max((float(box_iou(box, gt_box)) for gt_box in objects), default=0.0)
        for boxes, objects in zip(by_image, gt_boxes.split(counts), strict=True)
        for box in boxes
    ]
    torch.testing.assert_close(found.ious, torch.tensor(expected))


@pytest.mark.parametrize("assigner", [max_iou, atss, nobody], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "dtypes",
    [
        (torch.float16, torch.float16),
        (torch.float16, torch.float32),
        (torch.float32, torch.float64),
        (torch.float64, torch.float16),
    ],
)
def test_ious_and_regions_of_boxes_in_any_types(assigner, dtypes):
    # Areas of 300 x 300 pixels are beyond float16.
    boxes = torch.tensor([[0.0, 0, 300, 300], [0, 0, 310, 310], [600, 0, 900, 300]])
    of_priors, of_targets = (boxes.to(dtype) for dtype in dtypes)
    regions = Regions(of_targets[2:], [1])
    targets = Targets(of_targets[:1], torch.tensor([0]), [1], regions=regions)
    candidates = assign(assigner, Priors(of_priors), targets, None, 1)
    expected = torch.tensor([1, 300**2 / 310**2, 0], dtype=candidates.ious.dtype)
    torch.testing.assert_close(candidates.ious, expected)
    assert candidates.is_in_region.tolist() == [False, False, True]
