"""Rows without weight, and background in ignored regions, do not learn with any assigner."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imbdet.assigners import assign, atss, max_iou
from imbdet.structures import Priors, Regions, Targets

NUM_CLASSES = 3


def boxes(max_size):
    """(n, 4) XYXY on a coarse grid, so that edges meet; some without an area."""
    corners = hnp.arrays(
        "float32",
        st.tuples(st.integers(0, max_size), st.just(4)),
        elements=st.integers(0, 6).map(float),
    )
    return corners.map(
        lambda c: torch.from_numpy(c).unflatten(1, (2, 2)).sort(dim=1).values.flatten(1)
    )


def share_inside(box, region):
    """The share of a box's area that lies in a region, by counting unit cells."""
    cells = [
        (x, y) for x in range(int(box[0]), int(box[2])) for y in range(int(box[1]), int(box[3]))
    ]
    inside = [region[0] <= x < region[2] and region[1] <= y < region[3] for x, y in cells]
    return sum(inside) / len(cells) if cells else -1.0


@given(
    priors=boxes(6), first=boxes(3), second=boxes(3), min_overlap=st.sampled_from([0.25, 0.5, 1.0])
)
@pytest.mark.parametrize("is_shared", [True, False], ids=["anchors", "proposals"])
def test_background_is_ignored_where_one_region_covers_enough_of_it(
    is_shared, priors, first, second, min_overlap
):
    num_priors = len(priors)
    none = torch.empty(0, 4)
    targets = Targets(
        none,
        none[:, 0].long(),
        num_per_image=[0, 0],
        regions=Regions(torch.cat([first, second]), [len(first), len(second)], min_overlap),
    )
    own = (
        Priors(priors) if is_shared else Priors(priors.repeat(2, 1), num_per_image=[num_priors] * 2)
    )
    candidates = assign(max_iou, own, targets, None, NUM_CLASSES)
    expected = [
        any(share_inside(box, region) >= min_overlap for region in regions.tolist())
        for regions in (first, second)
        for box in priors.tolist()
    ]
    assert candidates.is_in_region.tolist() == expected
    assert (candidates.gt_labels == -1).tolist() == expected
    assert (candidates.gt_labels[~candidates.is_in_region] == NUM_CLASSES).all()


def scene():
    """Two images with two objects and one, each on a prior of its own, and a prior apart."""
    gt_boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]])
    priors = Priors(torch.cat([gt_boxes, torch.tensor([[40.0, 40, 50, 50]])]), level_sizes=[4])
    return priors, Targets(gt_boxes, torch.tensor([0, 2, 1]), num_per_image=[2, 1])


@pytest.mark.parametrize("assigner", [max_iou, atss], ids=["max_iou", "atss"])
def test_positives_stay_in_a_region(assigner):
    priors, targets = scene()
    everywhere = Regions(torch.tensor([[0.0, 0, 64, 64]] * 2), [1, 1])
    plain = assign(assigner, priors, targets, None, NUM_CLASSES)
    within = assign(assigner, priors, replace(targets, regions=everywhere), None, NUM_CLASSES)
    assert plain.is_in_region is None
    torch.testing.assert_close(within.pos_idxs, plain.pos_idxs)
    assert len(within.neg_idxs) == 0
    torch.testing.assert_close(within.is_in_region, plain.is_negative)


def test_positives_of_an_object_without_weight_are_ignored_and_no_others():
    priors, targets = scene()
    plain = assign(max_iou, priors, targets, None, NUM_CLASSES)
    weighted = replace(targets, weights=torch.tensor([0.0, 0.5, 2.0]))
    candidates = assign(max_iou, priors, weighted, None, NUM_CLASSES)
    is_out = plain.gt_idxs == 0
    assert is_out.sum() == 1
    assert (candidates.gt_labels[is_out] == -1).all()
    torch.testing.assert_close(candidates.gt_labels[~is_out], plain.gt_labels[~is_out])
    expected = torch.ones(8)
    expected[plain.gt_idxs == 1], expected[plain.gt_idxs == 2] = 0.5, 2.0
    torch.testing.assert_close(candidates.weights, expected)


@pytest.mark.parametrize("is_shared", [True, False], ids=["anchors", "proposals"])
def test_nothing_of_an_image_without_weight_learns(is_shared):
    priors, targets = scene()
    if not is_shared:
        priors = Priors(priors.boxes.repeat(2, 1), num_per_image=[4, 4])
    weighted = replace(
        targets, image_weights=torch.tensor([0.0, 3.0]), weights=torch.tensor([1.0, 1.0, 0.5])
    )
    candidates = assign(max_iou, priors, weighted, None, NUM_CLASSES)
    assert (candidates.gt_labels[:4] == -1).all()
    assert (candidates.gt_labels[4:] >= 0).all()
    # Weights are that of the image, and for an object that of the image times its own.
    assert candidates.weights[4:].tolist() == [3.0, 3.0, 1.5, 3.0]


def test_an_image_knows_its_own_weights_and_regions():
    _, targets = scene()
    targets = replace(
        targets,
        weights=torch.tensor([1.0, 2.0, 3.0]),
        image_weights=torch.tensor([0.5, 0.25]),
        regions=Regions(torch.arange(12.0).view(3, 4), [1, 2], 0.7),
    )
    first, second = targets.by_image()
    assert first.weights.tolist() == [1, 2]
    assert second.weights.tolist() == [3]
    assert second.image_weights.tolist() == [0.25]
    assert first.regions.boxes.tolist() == [[0, 1, 2, 3]]
    assert len(second.regions.boxes) == 2
    assert second.regions.min_overlap == 0.7
