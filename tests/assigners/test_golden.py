"""Assigners against what published implementations chose.

MMDetection 3.3 (with DDQ), detectron2's FCOS and the authors' PAA.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from imbdet import assigners
from imbdet.assigners import Outputs, Priors, Targets
from imbdet.assigners.paa import split_losses
from imbdet.classifiers import SIGMOID, SOFTMAX

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


def tensors(path):
    arrays = np.load(path).items()
    return {name: torch.from_numpy(x) for name, x in arrays if x.dtype.kind != "U" and x.ndim}


# Published: the float32 fit of scikit-learn; beside it that of float64 losses, and the authors'
# code, by which a single candidate is positive, too. Of equal densities the first counts, as in the
# authors' code: in the case of ties, MMDetection takes any.
@cases("paa")
def test_paa(path):
    case, topk = tensors(path), np.load(path)["topk"].item()
    priors = Priors(case["anchors"], level_sizes=case["level_sizes"].tolist())
    targets = Targets(case["gt_boxes"], case["gt_labels"])
    num_classes = np.load(path)["num_classes"].item()
    losses, gt_idxs = case["pos_losses"], case["pos_gt_inds"]
    levels = priors.levels_at(case["pos_inds"]).idxs
    is_positive = split_losses(losses, gt_idxs, levels, topk=topk)
    found = torch.full((len(priors),), num_classes)
    found[case["pos_inds"][is_positive]] = targets.classes[gt_idxs[is_positive]]
    if path.stem == "paa__syn_ties":
        # The published sort put another one of the equal losses first.
        losses_of_zero, losses_of_one = (losses[is_positive & (gt_idxs == gt)] for gt in (0, 1))
        assert sorted(losses_of_zero.tolist()) == [0, 1]
        assert losses_of_one.tolist() == [0]
        return
    published = [case["out_labels"], case["out_labels_f64"]]
    assert any(torch.equal(found, labels) for labels in published)
    if "logits" in case:
        outputs = Outputs(case["logits"], case["boxes"])
        assignment = assigners.paa(priors, targets, outputs, topk=topk)
        assert torch.equal(assignment.labels(targets.classes, num_classes), found)


def load_queries(path):
    case = np.load(path)
    height, width = case["img_shape"].tolist()
    case = {name: torch.from_numpy(x) if x.ndim else x.item() for name, x in case.items()}
    targets = Targets(case["gt_boxes"], case["gt_labels"], image_sizes=[(height, width)])
    return case, Priors(torch.zeros(len(case["boxes"]), 4)), targets


@cases("hungarian")
def test_hungarian(path):
    case, queries, targets = load_queries(path)
    is_softmax = case["cls_cost"] == "ClassificationCost"
    weights = zip(("cls_weight", "l1_weight", "giou_weight"), case["weights"].tolist(), strict=True)
    found = assigners.hungarian(
        queries,
        targets,
        Outputs(case["logits"], case["boxes"], classifier=SOFTMAX if is_softmax else SIGMOID),
        box_format="xyxy" if case["box_format"] == "xyxy" else "cxcywh",
        **dict(weights),
    ).gt_idxs
    if path.stem != "hungarian__ties":
        assert found.tolist() == case["gt_idxs"].tolist()
    if "cost" in case:
        sums = [
            case["cost"][gt_idxs >= 0, gt_idxs[gt_idxs >= 0]].double().sum()
            for gt_idxs in (found, case["gt_idxs"])
        ]
        torch.testing.assert_close(*sums)


@cases("topk_hungarian")
def test_topk_hungarian(path):
    case, queries, targets = load_queries(path)
    topk = case["topk"]
    # The published cost takes the sigmoid of scores: logits that are scores do the same.
    outputs = Outputs(case["logits"].sigmoid(), case["boxes"])
    found = assigners.topk_hungarian(queries, targets, outputs, topk=topk)
    assert found.gt_idxs.tolist() == case["gt_idxs"].tolist()
    if "pos_inds" not in case:
        return
    rows = case["pos_inds"]
    torch.testing.assert_close(found.ious[rows], case["pos_ious"], rtol=1e-6, atol=1e-6)
    objects = found.gt_idxs[rows]
    scores = case["logits"][rows, targets.classes[objects]].sigmoid()
    alignment = scores * found.ious[rows] ** 6
    torch.testing.assert_close(alignment, case["pos_metrics"], rtol=1e-5, atol=1e-6)
