"""Assigners against what published implementations chose (MMDetection 3.3, detectron2's FCOS)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from imbdet import assigners
from imbdet.assigners import Outputs, Priors, Targets

GOLDEN = Path(__file__).parent / "golden"
# Nine anchors of a cell share their centre: which of them is the ninth nearest is a tie, which
# torch decided in favour of another one than the first.
TIES = {"atss__twins_9anchors": 4}


def cases(*kinds):
    paths = sorted(path for path in GOLDEN.glob("*.npz") if path.stem.split("__")[0] in kinds)
    assert paths
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def load(path):
    case = {name: torch.from_numpy(np.asarray(value)) for name, value in np.load(path).items()}
    priors = Priors(
        case["anchors"],
        points=case["points"][:, :2],
        strides=case["points"][:, 2],
        level_sizes=case["level_sizes"].tolist(),
    )
    targets = outputs = None
    if "gt_boxes" in case:
        targets = Targets(case["gt_boxes"], case["gt_labels"])
        outputs = Outputs(case["logits"], case["boxes"]) if "logits" in case else None
    return case, priors, targets, outputs


def options(case, *names):
    return {name: case[name].item() for name in names}


def check(assignment, case, num_ties=0):
    is_equal = assignment.gt_idxs == case["gt_idxs"]
    assert (~is_equal).sum() <= num_ties
    torch.testing.assert_close(
        assignment.ious[is_equal], case["ious"][is_equal], rtol=1e-6, atol=1e-6
    )


@cases("atss", "atss_cost")
def test_atss(path):
    case, priors, targets, outputs = load(path)
    given = options(case, *({"topk", "alpha"} & set(case)))
    check(assigners.atss(priors, targets, outputs, **given), case, TIES.get(path.stem, 0))


@cases("simota")
def test_simota(path):
    case, priors, targets, outputs = load(path)
    given = options(case, "center_radius", "candidate_topk", "iou_weight", "cls_weight")
    check(assigners.simota(priors, targets, outputs, **given), case)


@cases("soft_label")
def test_soft_label(path):
    case, priors, targets, outputs = load(path)
    given = options(case, "soft_center_radius", "topk", "iou_weight")
    check(assigners.soft_label(priors, targets, outputs, **given), case)


@cases("tal", "tood")
def test_task_aligned(path):
    case, priors, targets, outputs = load(path)
    given = options(case, "topk", "alpha", "beta")
    assignment = assigners.task_aligned(priors, targets, outputs, **given)
    check(assignment, case)
    if "norm_metrics" in case:
        torch.testing.assert_close(assignment.quality, case["norm_metrics"], rtol=1e-6, atol=1e-6)


@cases("fcos")
def test_fcos(path):
    case, priors, *_ = load(path)
    images = range(case["num_images"].item())
    boxes = [case[f"gt_boxes{image}"] for image in images]
    classes = [case[f"gt_labels{image}"] for image in images]
    targets = Targets(torch.cat(boxes), torch.cat(classes), [len(b) for b in boxes])
    given = options(case, "center_sampling_radius")
    found = assigners.fcos(priors, targets, **given).gt_idxs.unflatten(0, (len(boxes), -1))
    num_before = 0
    for image in images:
        expected = case["gt_idxs"][image]
        expected = torch.where(expected >= 0, expected + num_before, expected)
        assert found[image].tolist() == expected.tolist()
        num_before += len(boxes[image])
