"""Assignments of the same priors by several assigners, and their counts by object."""

import pytest
import torch

from imbdet.analysis.assignments import build_assignments, count_by_object
from imbdet.assigners.pairs import box_iou
from imbdet.methods import ASSIGNERS
from imbdet.modeling import site_keys
from tests.flow import make_candidates
from tests.modeling.conftest import small_config


@pytest.mark.parametrize("seed", range(3))
def test_objects_are_counted_one_by_one(seed):
    generator = torch.Generator().manual_seed(seed)

    def boxes(number):
        corners = torch.rand(number, 2, generator=generator) * 40
        return torch.cat(
            [corners, corners + 5 + 40 * torch.rand(number, 2, generator=generator)], 1
        )

    gt_boxes, priors = boxes(4), boxes(30)
    gt_idxs = torch.randint(-1, 3, (30,), generator=generator)  # the last object has none
    candidates = make_candidates(
        torch.where(gt_idxs < 0, 1, 0), gt_idxs, num_classes=1, boxes=priors, gt_boxes=gt_boxes
    )
    found = count_by_object(candidates, gt_idxs)
    for gt, gt_box in enumerate(gt_boxes):
        rows = [row for row in range(30) if gt_idxs[row] == gt]
        ambiguous = 0
        for row in rows:
            x, y = (priors[row, :2] + priors[row, 2:]) / 2
            others = [box for i, box in enumerate(gt_boxes) if i != gt]
            ambiguous += any(b[0] < x < b[2] and b[1] < y < b[3] for b in others)
        assert found.num_positives[gt] == len(rows)
        assert found.num_ambiguous[gt] == ambiguous
        total = sum(float(box_iou(priors[row], gt_box)) for row in rows)
        assert float(found.sum_ious[gt]) == pytest.approx(total, rel=1e-5)


def test_there_may_be_no_object():
    candidates = make_candidates(torch.ones(3).long(), torch.full((3,), -1), num_classes=1)
    found = count_by_object(candidates, candidates.gt_idxs)
    assert len(found.num_positives) == len(found.num_ambiguous) == len(found.sum_ious) == 0


def test_all_that_have_a_meaning_are_there():
    found = build_assignments(small_config("retinanet"), site_keys.RETINANET)
    names = {name for name, method in ASSIGNERS if "dense heads" in method.places}
    assert set(found.assigners) == names
    assert set(found.refused) == {"dynamic_iou"}
