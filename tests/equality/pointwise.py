"""Losses in which each sample pays for itself."""

import torch

from imbdet.losses import distribution_focal_loss, expected_distance
from tests.equality.matrix import compared_with

MMDET = "open-mmlab/mmdetection 3.3.0"


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
