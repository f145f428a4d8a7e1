"""Assigner, losses, weights and normalizers of published detectors, put together from our parts.

The numbers are those of MMDetection 3.3.0 (TOOD) and of detectron2's main branch (FCOS, commit
02b5c4e), computed in double precision.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from imbdet.assigners import assign, fcos, task_aligned
from imbdet.learning.criteria import BoxLoss, PointwiseCriterion, QualityLoss, SampleLoss
from imbdet.learning.normalizers import sum_of_quality
from imbdet.learning.qualities import QUALITIES
from imbdet.losses import focal_loss, giou_loss, quality_focal_loss
from imbdet.ops.distances import DistanceTransform
from imbdet.structures import Outputs, Priors, Samples, Targets

GOLDEN = Path(__file__).parents[1] / "assigners" / "golden"


class Decoded:
    """A head that predicts boxes themselves."""

    def get_deltas(self, boxes, gt_boxes):
        return gt_boxes

    def apply_deltas(self, deltas, boxes):
        return deltas


def load(path):
    with np.load(path) as arrays:
        return {
            name: torch.from_numpy(np.atleast_1d(arrays[name])).double()
            if arrays[name].dtype.kind == "f"
            else torch.from_numpy(np.atleast_1d(arrays[name]))
            for name in arrays
        }


def files(method):
    return pytest.mark.parametrize(
        "path", sorted(GOLDEN.glob(f"{method}__*.npz")), ids=lambda path: path.stem
    )


def assert_close(found, expected):
    """Compare to 1e-6 of the largest entry, as epsilons of divisors differ."""
    expected = expected.double().reshape(found.shape)
    atol = 1e-6 * float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=atol)


@files("tood")
def test_tood(path):
    case = load(path)
    logits, boxes = case["logits"].requires_grad_(), case["boxes"].requires_grad_()
    priors = Priors(case["anchors"], points=case["points"][:, :2])
    targets = Targets(case["gt_boxes"], case["gt_labels"])
    outputs = Outputs(logits, deltas=boxes, box2box_transform=Decoded())
    assigner = partial(
        task_aligned,
        topk=int(case["topk"]),
        alpha=float(case["alpha"]),
        beta=float(case["beta"]),
    )
    assigner.needs = task_aligned.needs
    chosen = assign(assigner, priors, targets, outputs.detach(), int(case["num_classes"]))
    criterion = PointwiseCriterion(
        cls_loss=SampleLoss(quality_focal_loss, uses_quality=True),
        box_loss=BoxLoss(giou_loss, compares="boxes"),
        box_quality=QUALITIES["assigned"],
    )
    normalizer = sum_of_quality(chosen, lambda number: number)
    losses, _ = criterion(Samples(chosen, outputs), normalizer)
    box_loss = 2.0 * losses["loss_box_reg"]  # BBOX_REG_LOSS_WEIGHT
    (losses["loss_cls"] + box_loss).backward()
    assert_close(losses["loss_cls"].detach(), case["loss_cls_f64"])
    assert_close(box_loss.detach(), case["loss_bbox_f64"])
    assert_close(logits.grad, case["grad_logits_f64"])
    assert_close(boxes.grad, case["grad_boxes_f64"])


@files("fcos")
def test_fcos(path):
    case = load(path)
    num_images = int(case["num_images"])
    shapes = {"logits": (0, 1), "deltas": (0, 1), "centerness": (0, 2)}
    leaves = {name: case[name].flatten(*dims).requires_grad_() for name, dims in shapes.items()}
    anchors, level_sizes = case["anchors"], case["level_sizes"].tolist()
    priors = Priors(anchors, strides=anchors[:, 2] - anchors[:, 0], level_sizes=level_sizes)
    objects = [case[f"gt_boxes{i}"].reshape(-1, 4) for i in range(num_images)]
    classes = [case[f"gt_labels{i}"] for i in range(num_images)]
    targets = Targets(torch.cat(objects), torch.cat(classes).long(), [len(x) for x in objects])
    assigner = partial(fcos, center_sampling_radius=float(case["center_sampling_radius"]))
    chosen = assign(assigner, priors, targets, None, int(case["num_classes"]))
    criterion = PointwiseCriterion(
        cls_loss=SampleLoss(focal_loss),
        box_loss=BoxLoss(giou_loss, compares="boxes"),
        quality_loss=QualityLoss(QUALITIES["centerness"]),
    )
    outputs = Outputs(
        leaves["logits"],
        deltas=leaves["deltas"],
        quality_logits=leaves["centerness"],
        box2box_transform=DistanceTransform(),
    )
    losses, _ = criterion(Samples(chosen, outputs), case["normalizer"])
    sum(losses.values()).backward()
    for name, published in (("cls", "cls"), ("box_reg", "loc"), ("quality", "ctr")):
        found = losses[f"loss_{name}"].detach()
        assert_close(found, case[f"loss_{published}_f64"])
    for name, leaf in leaves.items():
        assert_close(leaf.grad, case[f"grad_{name}_f64"])
