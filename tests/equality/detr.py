"""Losses of DETRs: queries matched with objects, boxes CXCYWH in [0, 1]."""

import torch

from imbdet.losses import (
    focal_loss,
    giou_loss,
    iou_aware_bce_loss,
    l1_loss,
    matchability_aware_loss,
    position_supervised_loss,
    varifocal_loss,
)
from imbdet.ops.boxes import EPS, overlap
from tests.equality.matrix import Departure, compared_with

DEIM = "ShihuaHuang95/DEIM 09d35d53"
RF_DETR = "roboflow/rf-detr 35ac6ab6"
LW_DETR = "Atten4Vis/LW-DETR d5e6e6c4"
ALIGN_DETR = "FelixCaae/AlignDETR 4b125f7f"
# Side of an image in pixels, whose areas make the epsilons of quotients negligible.
IMAGE_SIZE = 1000


class Matched:
    """Logits (M, K) of the queries of all images, and the pairs of the matched ones in order."""

    def __init__(self, case):
        num_queries, num_classes = case["logits"].shape[1:]
        rows = case["match_batch"] * num_queries + case["match_query"]
        self.rows, order = rows.sort()
        first_gts = case["num_gt"].cumsum(0) - case["num_gt"]
        self.gt_idxs = (first_gts[case["match_batch"]] + case["match_gt"])[order]
        self.logits = case["logits"].double().flatten(0, 1).requires_grad_()
        self.labels = torch.full((len(self.logits),), num_classes)
        self.labels[self.rows] = case["gt_labels"][self.gt_idxs]
        self.image_idxs = torch.arange(len(self.logits)) // num_queries
        self.all_boxes = case["pred_boxes"].double().requires_grad_()
        self.boxes = self.all_boxes.flatten(0, 1)[self.rows]
        self.gt_boxes = case["gt_boxes"].double()[self.gt_idxs]

    def without_zero_ious(self):
        """Labels and IoUs with matched queries that miss their object as negatives."""
        ious, labels = self.ious(), self.labels.clone()
        labels[self.rows[ious == 0]] = self.logits.shape[1]
        return labels, ious[ious > 0]

    def ious(self, eps=0.0):
        """IoUs of the matched pairs, with ``eps`` added to their unions, in areas of the image."""
        corners = xyxy(self.boxes.detach()), xyxy(self.gt_boxes)
        ious, unions = overlap(*corners)
        return ious * (unions + EPS) / (unions + IMAGE_SIZE**2 * eps)


def xyxy(boxes):
    """Corners in pixels."""
    center, size = boxes.split(2, dim=1)
    return torch.cat([center - size / 2, center + size / 2], dim=1) * IMAGE_SIZE


def value_and_gradient(case, matched, losses):
    loss = losses.sum() / case["num_boxes"]
    (grad,) = torch.autograd.grad(loss, matched.logits)
    expected = case["grad_f64"].flatten(0, 1)
    return {"values": (loss, case["loss_f64"]), "gradient": (grad, expected)}


@compared_with(f"{DEIM}: `loss_labels_mal`", "matchability_aware_loss", "losses/golden/mal__*.npz")
def mal(case):
    matched = Matched(case)
    alpha = case["mal_alpha"] if case["mal_alpha"] >= 0 else 1.0
    options = {"alpha": alpha, "gamma": case["gamma"]}
    losses = matchability_aware_loss(matched.logits, matched.labels, matched.ious(), **options)
    return value_and_gradient(case, matched, losses)


@compared_with(
    f"{DEIM}: `loss_labels_vfl`",
    "varifocal_loss(detach_factor=True)",
    "losses/golden/deim_vfl__*.npz",
)
def deim_vfl(case):
    matched = Matched(case)
    options = {"alpha": case["alpha"], "gamma": case["gamma"], "detach_factor": True}
    losses = varifocal_loss(matched.logits, matched.labels, matched.ious(), **options)
    return value_and_gradient(case, matched, losses)


@compared_with(f"{DEIM}: `loss_labels_focal`", "focal_loss", "losses/golden/deim_focal__*.npz")
def deim_focal(case):
    matched = Matched(case)
    options = {"alpha": case["alpha"], "gamma": case["gamma"]}
    losses = focal_loss(matched.logits, matched.labels, **options)
    return value_and_gradient(case, matched, losses)


@compared_with(
    f"{DEIM}: `loss_boxes`",
    "l1_loss, giou_loss",
    "losses/golden/detr_boxes__*.npz",
    note="GIoU of boxes in pixels; published of boxes as parts of the image.",
)
def detr_boxes(case):
    matched = Matched(case)
    pairs = [
        l1_loss(matched.boxes, matched.gt_boxes),
        giou_loss(xyxy(matched.boxes), xyxy(matched.gt_boxes)),
    ]
    losses = [losses.sum() / case["num_boxes"] for losses in pairs]
    grads = [torch.autograd.grad(loss, matched.all_boxes, retain_graph=True)[0] for loss in losses]
    return {
        "values of L1": (losses[0], case["loss_bbox_f64"]),
        "values of GIoU": (losses[1], case["loss_giou_f64"]),
        "gradient of L1": (grads[0], case["grad_bbox_f64"]),
        "gradient of GIoU": (grads[1], case["grad_giou_f64"]),
    }


@compared_with(f"{RF_DETR}: `ia_bce_loss`", "iou_aware_bce_loss", "losses/golden/ia_bce__*.npz")
def ia_bce(case):
    matched = Matched(case)
    options = {"alpha": case["alpha"], "gamma": case["gamma"]}
    losses = iou_aware_bce_loss(matched.logits, matched.labels, matched.ious(), **options)
    return value_and_gradient(case, matched, losses)


OVERFLOWS = "The logarithm of a sigmoid overflows as published; ours is the limit."
LOSS_OVERFLOWS = Departure(OVERFLOWS, {"values"})
ALL_OVERFLOWS = Departure(OVERFLOWS, {"values", "gradient"})

compared_with(
    f"{LW_DETR}: `ia_bce_loss`",
    "iou_aware_bce_loss",
    "losses/golden/ia_bce_lwdetr__*.npz",
    departures={
        "ia_bce_lwdetr__extreme": LOSS_OVERFLOWS,
        "ia_bce_lwdetr__extreme120": ALL_OVERFLOWS,
    },
)(ia_bce)


ZERO_IOU = (
    "Ours keeps a matched query with an IoU of 0 among the positives; "
    "to compare, it is given as unmatched, which the published code makes of it."
)


@compared_with(
    f"{RF_DETR}: `position_supervised_loss`",
    "position_supervised_loss",
    "losses/golden/position_supervised__*.npz",
    note=ZERO_IOU,
)
def position_supervised(case):
    matched = Matched(case)
    losses = position_supervised_loss(
        matched.logits,
        *matched.without_zero_ious(),
        image_idxs=matched.image_idxs,
        alpha=case["alpha"],
        gamma=case["gamma"],
    )
    return value_and_gradient(case, matched, losses)


@compared_with(
    f"{RF_DETR}: `sigmoid_varifocal_loss`",
    "varifocal_loss",
    "losses/golden/rf_vfl__*.npz",
    note=ZERO_IOU,
)
def rf_vfl(case):
    matched = Matched(case)
    options = {"alpha": 1 - case["alpha"], "gamma": case["gamma"]}
    losses = varifocal_loss(matched.logits, *matched.without_zero_ious(), **options)
    return value_and_gradient(case, matched, losses)


@compared_with(
    f"{ALIGN_DETR}: `IA_BCE_loss`",
    "iou_aware_bce_loss",
    "losses/golden/align_detr__*.npz",
    departures={
        "align_detr__extreme_k1": LOSS_OVERFLOWS,
        "align_detr__extreme120_k1": ALL_OVERFLOWS,
    },
    note="Pairs are given. IoUs have the published 1e-6 beside their unions.",
)
def align_detr(case):
    matched = Matched(case)
    losses = iou_aware_bce_loss(
        matched.logits,
        matched.labels,
        matched.ious(eps=1e-6),
        gt_idxs=matched.gt_idxs if case["match_number"] > 1 else None,
        alpha=case["alpha"],
        gamma=case["gamma"],
        tau=case["tau"],
    )
    return value_and_gradient(case, matched, losses)
