"""Losses of a ranking, on flat binary problems: each entry is a sample of one class."""

import torch

from imbdet.losses import alrp_loss, ap_loss, rank_sort_loss
from tests.equality.matrix import Departure, compared_with

RANK_SORT = "kemaloksuz/RankSortLoss b41f64d"


class Problem:
    """Logits (n, 1) and labels (n,)."""

    def __init__(self, case, is_positive):
        targets = case["targets"]
        self.labels = torch.where(is_positive, 0, torch.where(targets == 0, 1, -1))
        self.logits = case["logits"].double()[:, None].requires_grad_()

    def gradient(self, case, loss):
        (grad,) = torch.autograd.grad(loss, self.logits, retain_graph=True)
        return grad[:, 0], case["grad_f64"]


@compared_with(f"{RANK_SORT}: `APLoss`", "ap_loss", "losses/golden/ap_mmdet__*.npz")
def ap(case):
    problem = Problem(case, case["targets"] == 1)
    loss = ap_loss(problem.logits, problem.labels, delta=case["delta"])
    return {
        "values": (loss, case["loss_f64"]),
        "gradient": problem.gradient(case, case["out_grad"] * loss),
    }


@compared_with(
    f"{RANK_SORT}: `aLRPLoss`",
    "alrp_loss(smooth_localisation=False)",
    "losses/golden/alrp__*.npz",
    departures={
        "alrp__ties": Departure(
            "The published localisation depends on the order of equal scores.",
            {"values of boxes", "gradient by errors"},
        ),
    },
)
def alrp(case):
    problem = Problem(case, case["targets"] == 1)
    loc_errors = case["regression_losses"].double().requires_grad_()
    cls, box = alrp_loss(
        problem.logits,
        problem.labels,
        loc_errors,
        delta=case["delta"],
        smooth_localisation=False,
    )
    (loc_grad,) = torch.autograd.grad(box, loc_errors, retain_graph=True)
    return {
        "values of classes": (cls, case["loss_f64"]),
        "values of boxes": (box, case["loc_loss_f64"]),
        "gradient by logits": problem.gradient(case, case["out_grad"] * cls),
        "gradient by errors": (loc_grad, case["loc_grad_f64"]),
    }


@compared_with(
    f"{RANK_SORT}: `RankSort`",
    "rank_sort_loss",
    "losses/golden/rs__*.npz",
    note="Each term has a gradient of its own; published, both have that of the first.",
)
def rank_sort(case):
    is_positive = case["targets"] > 0
    problem = Problem(case, is_positive)
    ious = case["targets"][is_positive].double()
    ranking, sorting = rank_sort_loss(problem.logits, problem.labels, ious, delta=case["delta"])
    return {
        "values of ranking": (ranking, case["ranking_loss_f64"]),
        "values of sorting": (sorting, case["sorting_loss_f64"]),
        "gradient": problem.gradient(case, case["out_grad_rank"] * (ranking + sorting)),
    }
