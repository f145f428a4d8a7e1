"""Qualities of positives, and their losses of boxes, distributions and a quality branch."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from imbdet.learning.criteria import (
    BoxLoss,
    Criterion,
    DistributionLoss,
    PointwiseCriterion,
    QualityLoss,
    SampleLoss,
)
from imbdet.learning.normalizers import num_positives, sum_of_quality
from imbdet.learning.qualities import QUALITIES
from imbdet.losses import giou_loss, quality_focal_loss
from imbdet.ops.boxes import paired_iou
from imbdet.ops.distances import DistanceTransform
from tests.flow import make_candidates, make_samples

NUM_CLASSES, REG_MAX = 3, 4
LABELS = torch.tensor([2, NUM_CLASSES, 0, -1, 1])
GT_IDXS = torch.tensor([0, -1, 1, -1, 1])
POSITIVES = [0, 2, 4]


def samples_of_a_dense_head(*, quality=None, seed=0):
    """Five priors, of which three are positives of two objects."""
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.tensor(
        [[0.0, 0, 8, 8], [8, 0, 16, 8], [8, 8, 16, 16], [0, 8, 8, 16], [9, 9, 13, 13]]
    )
    gt_boxes = torch.tensor([[1.0, 2, 9, 7], [6, 5, 18, 15]])
    candidates = make_candidates(
        LABELS, GT_IDXS, num_classes=NUM_CLASSES, boxes=boxes, gt_boxes=gt_boxes
    )
    candidates = replace(candidates, quality=quality)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    samples = make_samples(candidates, draw(5, NUM_CLASSES), draw(5, 4).abs(), DistanceTransform())
    outputs = replace(
        samples.outputs,
        side_logits=draw(5, 4, REG_MAX + 1),
        quality_logits=draw(5),
    )
    return replace(samples, outputs=outputs)


def test_centerness_is_that_of_the_paper():
    samples = samples_of_a_dense_head()
    expected = []
    for row in POSITIVES:
        x1, y1, x2, y2 = samples.candidates.priors.boxes[row].tolist()
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        gt_x1, gt_y1, gt_x2, gt_y2 = samples.candidates.targets.boxes[GT_IDXS[row]].tolist()
        left, top, right, bottom = x - gt_x1, y - gt_y1, gt_x2 - x, gt_y2 - y
        expected.append(
            math.sqrt(min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom))
        )
    torch.testing.assert_close(QUALITIES["centerness"](samples), torch.tensor(expected))


@pytest.mark.parametrize("gt_box", [[20.0, 0, 30, 8], [4.0, 4, 4, 4], [4.0, 0, 4, 8]])
def test_centerness_of_a_prior_outside_of_its_object_is_0(gt_box):
    candidates = make_candidates(
        torch.tensor([0]),
        torch.tensor([0]),
        num_classes=1,
        boxes=torch.tensor([[0.0, 0, 8, 8]]),
        gt_boxes=torch.tensor([gt_box]),
    )
    samples = make_samples(candidates, torch.zeros(1, 1), torch.zeros(1, 4), DistanceTransform())
    assert QUALITIES["centerness"](samples).tolist() == [0.0]


def test_the_other_qualities():
    samples = samples_of_a_dense_head()
    positives = samples.positives
    ious = paired_iou(positives.pred_boxes, positives.gt_boxes)
    torch.testing.assert_close(QUALITIES["iou"](samples), ious)
    torch.testing.assert_close(QUALITIES["assigned"](samples), ious)
    scores = samples.pred_logits[POSITIVES].sigmoid().amax(dim=1)
    torch.testing.assert_close(QUALITIES["score"](samples), scores)
    graded = samples_of_a_dense_head(quality=torch.tensor([0.9, 0.0, 0.5, 0.0, 0.7]))
    assert QUALITIES["assigned"](graded).tolist() == pytest.approx([0.9, 0.5, 0.7])


def test_losses_that_aim_at_the_quality_take_that_of_the_assigner():
    loss = SampleLoss(quality_focal_loss, uses_quality=True)
    graded = samples_of_a_dense_head(quality=torch.tensor([0.9, 0.0, 0.5, 0.0, 0.7]))
    expected = quality_focal_loss(graded.pred_logits, LABELS, torch.tensor([0.9, 0.5, 0.7]))
    torch.testing.assert_close(loss(graded), expected)


def test_positive_losses_by_hand():
    samples = samples_of_a_dense_head()
    criterion = Criterion(
        box_loss=BoxLoss(giou_loss, compares="boxes"),
        box_quality=QUALITIES["centerness"],
        distribution_loss=DistributionLoss(weight=0.25),
        quality_loss=QualityLoss(QUALITIES["iou"], weight=0.5),
    )
    box_losses = criterion.box_loss(samples.positives)
    weights = torch.tensor([1.0, 2.0, 3.0])
    found = criterion.positive_losses(samples, 7.0, box_losses, weights)

    quality = QUALITIES["centerness"](samples)
    divisor = max(float(quality.sum()), 1.0)
    assert float(found["loss_box_reg"]) == pytest.approx(
        float((quality * weights * box_losses).sum()) / divisor
    )
    sides = 0.0
    for place, row in enumerate(POSITIVES):
        for side in range(4):
            target = min(max(float(samples.positives.gt_deltas[place, side]), 0), REG_MAX - 0.1)
            low = int(target)
            log_probs = samples.outputs.side_logits[row, side].log_softmax(0)
            loss = -(low + 1 - target) * log_probs[low] - (target - low) * log_probs[low + 1]
            sides += float(quality[place] * weights[place] * loss) / 4
    assert float(found["loss_dfl"]) == pytest.approx(0.25 * sides / divisor, rel=1e-5)
    bce = F.binary_cross_entropy_with_logits(
        samples.outputs.quality_logits[POSITIVES], QUALITIES["iou"](samples), reduction="sum"
    )
    assert float(found["loss_quality"]) == pytest.approx(0.5 * float(bce) / 7, rel=1e-5)


def test_without_positives_all_are_0_and_connected():
    samples = samples_of_a_dense_head()
    labels = torch.full_like(LABELS, NUM_CLASSES)
    candidates = replace(samples.candidates, gt_labels=labels, gt_idxs=torch.full_like(labels, -1))
    tensors = ("logits", "deltas", "side_logits", "quality_logits")
    leaves = {name: getattr(samples.outputs, name).requires_grad_() for name in tensors}
    samples = replace(samples, candidates=candidates, outputs=replace(samples.outputs, **leaves))
    criterion = PointwiseCriterion(
        cls_loss=SampleLoss(quality_focal_loss, uses_quality=True),
        box_loss=BoxLoss(giou_loss, compares="boxes"),
        box_quality=QUALITIES["score"],
        distribution_loss=DistributionLoss(),
        quality_loss=QualityLoss(QUALITIES["centerness"]),
    )
    losses, _ = criterion(samples, 1.0)
    sum(losses.values()).backward()
    assert losses.keys() == {"loss_cls", "loss_box_reg", "loss_dfl", "loss_quality"}
    for name in ("loss_box_reg", "loss_dfl", "loss_quality"):
        assert float(losses[name]) == 0, name
    for name, leaf in leaves.items():
        assert leaf.grad is not None, name
        assert leaf.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("missing", "loss"),
    [
        ("side_logits", DistributionLoss()),
        ("quality_logits", QualityLoss(QUALITIES["iou"])),
    ],
)
def test_a_head_without_the_branch_is_told(missing, loss):
    samples = samples_of_a_dense_head()
    samples = replace(samples, outputs=replace(samples.outputs, **{missing: None}))
    with pytest.raises(ValueError, match=missing):
        loss(samples)


def test_normalizers_count_positives_and_qualities():
    graded = samples_of_a_dense_head(quality=torch.tensor([0.9, 0.0, 0.5, 0.0, 0.7])).candidates
    assert num_positives(graded, lambda number: number) == 3
    assert sum_of_quality(graded, lambda number: number) == pytest.approx(2.1)
    assert sum_of_quality(graded, lambda number: number / 3) == 1.0
    with pytest.raises(ValueError, match="the assigner has none"):
        sum_of_quality(samples_of_a_dense_head().candidates, lambda number: number)
