"""Losses that are sums over samples, and those that compare distributions of samples."""

import torch

from imbdet.losses import (
    GHMCLoss,
    GHMRLoss,
    balanced_l1_loss,
    distribution_focal_loss,
    dr_loss,
    expected_distance,
    focal_loss,
    giou_loss,
    quality_focal_loss,
)
from tests.equality.matrix import Departure, compared_with

DETECTRON2 = "facebookresearch/detectron2 02b5c4e2"
DR = "idstcv/DR_loss f9fa187"
MMDET = "open-mmlab/mmdetection 3.3.0"
RANK_SORT = "kemaloksuz/RankSortLoss b41f64d"


@compared_with(
    f"{MMDET}: `DistributionFocalLoss`",
    "distribution_focal_loss",
    "losses/golden/dfl__*.npz",
    note="The published mean adds 1.2e-7 to its divisor.",
)
def distribution_focal(case):
    logits = case["logits"].double().requires_grad_()
    losses = distribution_focal_loss(logits, case["targets"].double())
    weights = case.get("weights", torch.ones_like(losses))
    loss = case["loss_weight"] * (losses * weights).sum() / case.get("avg_factor", len(losses))
    (grad,) = torch.autograd.grad(loss, logits)
    return {"values": (loss, case["loss_f64"]), "gradient": (grad, case["grad_f64"])}


@compared_with(f"{MMDET}: `Integral`", "expected_distance", "losses/golden/gfl_integral__*.npz")
def integral(case):
    logits = case["logits"].double().requires_grad_()
    distances = expected_distance(logits.unflatten(1, (4, -1)))
    (grad,) = torch.autograd.grad(distances, logits, case["cotangent"].double())
    return {"values": (distances, case["out_f64"]), "gradient": (grad, case["grad_f64"])}


@compared_with(
    f"{MMDET}: `TOODHead` losses",
    "quality_focal_loss, giou_loss",
    "assigners/golden/tood__*.npz",
    note=(
        "The quality is the normalised alignment of the published assignment. The published sum "
        "adds 1.2e-7 to its divisor. Of saturated logits in float32 the published loss of an entry "
        "stops at 100, without a gradient; ours goes on."
    ),
)
def tood(case):
    logits, boxes = (case[name].double().requires_grad_() for name in ("logits", "boxes"))
    rows = (case["gt_idxs"] >= 0).nonzero().squeeze(1)
    quality = case["norm_metrics"].double()[rows]
    cls_loss = quality_focal_loss(logits, case["labels"], quality, reduction="sum")
    gt_boxes = case["gt_boxes"].double()[case["gt_idxs"][rows]]
    box_loss = 2 * giou_loss(boxes[rows], gt_boxes, weights=quality, reduction="sum")
    losses = torch.stack([cls_loss, box_loss]) / quality.sum().clamp(min=1)
    grads = torch.autograd.grad(losses.sum(), [logits, boxes])
    return {
        "values of classes": (losses[0], case["loss_cls_f64"]),
        "values of boxes": (losses[1], case["loss_bbox_f64"]),
        "gradient by logits": (grads[0], case["grad_logits_f64"]),
        "gradient by boxes": (grads[1], case["grad_boxes_f64"]),
    }


@compared_with(
    f"{DETECTRON2}: `FCOS.losses`",
    "focal_loss, giou_loss",
    "assigners/golden/fcos__*.npz",
    note="The losses of classes and boxes.",
)
def fcos(case):
    logits, deltas = (case[name].double().requires_grad_() for name in ("logits", "deltas"))
    focal = focal_loss(logits.flatten(0, 1), case["labels"].flatten(), reduction="sum")
    rows = case["gt_idxs"] >= 0
    points, strides = case["points"].double()[:, :2], case["points"].double()[:, 2:3]
    near, far = (deltas.relu() * strides).split(2, dim=-1)
    boxes = torch.cat([points - near, points + far], dim=-1)[rows]
    giou = giou_loss(boxes, case["matched_boxes"].double()[rows], reduction="sum")
    losses = torch.stack([focal, giou]) / case["normalizer"]
    grads = torch.autograd.grad(losses.sum(), [logits, deltas])
    return {
        "values of classes": (losses[0], case["loss_cls_f64"]),
        "values of boxes": (losses[1], case["loss_loc_f64"]),
        "gradient by logits": (grads[0], case["grad_logits_f64"]),
        "gradient by deltas": (grads[1], case["grad_deltas_f64"]),
    }


@compared_with(
    f"{DR}: `SigmoidDRLoss`",
    "dr_loss",
    "losses/golden/dr__*.npz",
    departures={
        "dr__all_ignored": Departure("Without samples there is nothing to pay.", {"values"})
    },
)
def dr(case):
    logits, targets = case["logits"].double().requires_grad_(), case["targets"]
    # Published labels are 0 for the background, 1 to K for classes.
    labels = torch.where(targets > 0, targets - 1, torch.where(targets == 0, logits.shape[1], -1))
    loss = dr_loss(
        logits,
        labels,
        margin=case["margin"],
        sharpness=case["L"],
        tau=case["tau"],
        lambda_pos=case["pos_lambda"],
        lambda_neg=case["neg_lambda"],
    )
    (grad,) = torch.autograd.grad(case["out_grad"] * loss, logits)
    return {"values": (loss, case["loss_f64"]), "gradient": (grad, case["grad_f64"])}


def steps(case, losses_of):
    """Losses and gradients of calls one after the other, which share their counts."""
    losses, grads = [], []
    for pred, target, weight in zip(
        case["pred"], case["target"], case["label_weight"], strict=True
    ):
        pred = pred.double().requires_grad_()
        loss = losses_of(pred, target, weight > 0).sum()
        losses.append(loss)
        grads += torch.autograd.grad(loss, pred)
    return {
        "values": (torch.stack(losses), case["loss"]),
        "gradient": (torch.stack(grads), case["grad"]),
    }


@compared_with(f"{RANK_SORT}: `GHMC`", "GHMCLoss", "losses/golden/ghmc__*.npz")
def ghm_c(case):
    module = GHMCLoss(case["bins"], case["momentum"])

    def losses_of(pred, target, is_valid):
        labels = torch.where(is_valid, 1 - target, -1).long()
        return module(pred.reshape(-1, 1), labels.flatten())

    return steps(case, losses_of)


@compared_with(f"{RANK_SORT}: `GHMR`", "GHMRLoss", "losses/golden/ghmr__*.npz")
def ghm_r(case):
    module = GHMRLoss(case["mu"], case["bins"], case["momentum"])

    def losses_of(pred, target, is_valid):
        return module(pred[is_valid][:, None], target[is_valid][:, None])

    return steps(case, losses_of)


@compared_with(
    f"{RANK_SORT}: `balanced_l1_loss`",
    "balanced_l1_loss",
    "losses/golden/balanced_l1__*.npz",
    departures={
        "balanced_l1__grid_beta2": Departure(
            "The published gradient has the promised form for beta 1 alone.",
            {"values", "gradient"},
        )
    },
)
def balanced_l1(case):
    pred, target = (case[name].double().flatten()[:, None] for name in ("pred", "target"))
    pred.requires_grad_()
    options = {name: case[name] for name in ("alpha", "gamma", "beta")}
    losses = case["loss_weight"] * balanced_l1_loss(pred, target, **options)
    (grad,) = torch.autograd.grad(losses.sum(), pred)
    return {
        "values": (losses, case["elem_loss_f64"].flatten()),
        "gradient": (grad[:, 0], case["elem_grad_f64"].flatten()),
    }
