"""Dynamic R-CNN's threshold against its definition, and its state in a checkpoint."""

import copy

import pytest
import torch
from torch import nn

from imbdet.assigners import DynamicIoU, Priors, Targets, assign, max_iou


def proposals(ious_per_image):
    """A batch with one object for each image, and a proposal of each IoU with it."""
    boxes = [[0.0, 0.0, 100 * iou, 100.0] for ious in ious_per_image for iou in ious]
    priors = Priors(torch.tensor(boxes), num_per_image=[len(ious) for ious in ious_per_image])
    number = len(ious_per_image)
    gt_boxes = torch.tensor([[0.0, 0.0, 100.0, 100.0]] * number)
    return priors, Targets(gt_boxes, torch.zeros(number, dtype=torch.int64), [1] * number)


def step(assigner, *ious_per_image):
    return assign(assigner, *proposals(ious_per_image), None, 1)


def test_the_threshold_is_the_mean_iou_of_the_kth_best_of_the_batch():
    assigner = DynamicIoU(iou_topk=2, update_iter_interval=2, initial_iou=0.4)
    found = step(assigner, [0.9, 0.5, 0.3], [0.8, 0.7, 0.1])  # the fourth best of two images: 0.5
    assert found.is_positive.tolist() == [True, True, False, True, True, False]
    step(assigner, [0.9, 0.9], [0.9, 0.9])
    assert assigner.iou_threshold.item() == pytest.approx((0.5 + 0.9) / 2)
    found = step(assigner, [0.9, 0.5, 0.75])
    assert found.is_positive.tolist() == [True, False, True]


def test_the_threshold_does_not_fall_below_the_first_one():
    assigner = DynamicIoU(iou_topk=3, update_iter_interval=1, initial_iou=0.4)
    step(assigner, [0.5, 0.2, 0.1])
    assert assigner.iou_threshold.item() == pytest.approx(0.4)
    step(assigner, [0.5])  # fewer than three
    assert assigner.iou_threshold.item() == pytest.approx(0.5)


def test_images_without_objects_do_not_count():
    assigner = DynamicIoU(iou_topk=1, update_iter_interval=1)
    priors = Priors(torch.rand(4, 4), num_per_image=[2, 2])
    none = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), [0, 0])
    assert assign(assigner, priors, none, None, 1).gt_labels.tolist() == [1] * 4
    assert assigner.recorded.tolist() == [0, 0]


@pytest.mark.parametrize("convert", ["half", "bfloat16", "float", "double"])
def test_a_conversion_changes_no_running_quantity(convert):
    assigner = DynamicIoU(iou_topk=1, update_iter_interval=2)
    converted = getattr(copy.deepcopy(assigner), convert)()
    for ious in ([0.61, 0.2], [0.72, 0.1], [0.83, 0.3]):
        step(assigner, ious)
        step(converted, ious)
    assert converted.iou_threshold.equal(assigner.iou_threshold)
    assert converted.recorded.equal(assigner.recorded)


def test_only_trainings_learn():
    assigner = DynamicIoU(iou_topk=1, update_iter_interval=1).eval()
    step(assigner, [0.9])
    assert assigner.iou_threshold.item() == pytest.approx(0.4)


def test_a_fixed_threshold_is_max_iou():
    torch.manual_seed(0)
    corners = torch.rand(40, 2, 2).sort(dim=1).values
    priors, targets = proposals([[0.1 * place for place in range(11)]] * 2)
    priors = Priors(torch.cat([priors.boxes, 100 * corners.flatten(1)]), num_per_image=[31, 31])
    found = assign(DynamicIoU(initial_iou=0.45), priors, targets, None, 1)
    fixed = {"negative_below": 0.45, "positive_from": 0.45, "allow_low_quality_matches": False}
    expected = assign(lambda *args: max_iou(*args, **fixed), priors, targets, None, 1)
    assert found.gt_idxs.tolist() == expected.gt_idxs.tolist()
    assert found.ious.tolist() == expected.ious.tolist()


def test_a_state_keeps_the_threshold_and_what_is_recorded():
    before = nn.ModuleDict({"assigner": DynamicIoU(iou_topk=1, update_iter_interval=2)})
    for iou in (0.6, 0.8, 0.9):
        step(before["assigner"], [iou])
    after = nn.ModuleDict({"assigner": DynamicIoU(iou_topk=1, update_iter_interval=2)})
    after.load_state_dict(before.state_dict(), strict=True)
    for module in (before, after):
        step(module["assigner"], [0.5])
        assert module["assigner"].iou_threshold.item() == pytest.approx((0.9 + 0.5) / 2)
    after.load_state_dict({}, strict=True)  # a state of detectron2 lacks the buffers
