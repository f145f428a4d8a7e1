"""Losses for classes with few examples."""

import torch

from imbdet.losses import (
    BalancedGroups,
    balanced_group_loss,
    draw_federated_classes,
    draw_group_samples,
    effective_class_margin_loss,
    equalization_loss,
    federated_loss,
    logit_adjusted_loss,
    scores_beside_background,
    sigmoid_cross_entropy_loss,
)
from tests.equality.matrix import compared_with

DETECTRON2 = "facebookresearch/detectron2 02b5c4e2"
EQLV2 = "tztztztztz/eqlv2 907fad90"
ECM = "janghyuncho/ECM-Loss a6372408"
LOCE = "fcjian/LOCE 0a0194d1"


def per_class(values):
    """Numbers of the classes; those of a single class are read as one number."""
    return torch.atleast_1d(torch.as_tensor(values))


def value_and_gradient(case, loss_of):
    logits = case["logits"].double().requires_grad_()
    loss = loss_of(logits)
    (grad,) = torch.autograd.grad(loss, logits)
    return {"values": (loss, case["loss_f64"]), "gradient": (grad, case["grad_f64"])}


@compared_with(f"{EQLV2}: `EQL`", "equalization_loss", "losses/golden/eql__*.npz")
def eql(case):
    def loss_of(logits):
        labels, frequencies = case["labels"], case["freq_info"]
        losses = equalization_loss(logits, labels, frequencies, threshold=case["lambda_"])
        return losses.mean()

    return value_and_gradient(case, loss_of)


@compared_with(
    f"{EQLV2}: `GroupSoftmax`",
    "balanced_group_loss, BalancedGroups",
    "losses/golden/bags__*.npz",
    note="The drawn samples are given; the indices are groups and how many samples each draws.",
)
def bags(case):
    counts = per_class(case["instance_count"])
    groups = BalancedGroups(counts, per_class(case["bin_split"]).tolist())
    samples = case["group_weights"].bool()
    drawn = draw_group_samples(case["labels"], groups, beta=case["beta"])
    pairs = value_and_gradient(
        case,
        lambda logits: balanced_group_loss(
            logits, case["labels"], groups, samples, reduction="sum"
        ),
    )
    targets = torch.cat([groups.targets.flatten(), groups.targets_of(case["labels"]).flatten()])
    published = [case["group_label_maps"].flatten(), case["group_labels"].flatten()]
    return {
        **pairs,
        "indices": (
            torch.cat([targets, drawn.sum(dim=1)]),
            torch.cat([*published, samples.sum(dim=1)]),
        ),
    }


@compared_with(
    f"{EQLV2}: `GroupSoftmax.get_activation`",
    "BalancedGroups.scores",
    "losses/golden/bags__*.npz",
)
def bags_scores(case):
    counts = per_class(case["instance_count"])
    groups = BalancedGroups(counts, per_class(case["bin_split"]).tolist())
    return {"values": (groups.scores(case["logits"]), case["scores"])}


@compared_with(
    f"{ECM}: `EffectiveClassMarginLoss`",
    "effective_class_margin_loss, scores_beside_background",
    "losses/golden/ecm__*.npz",
    note="The values are losses and scores.",
)
def ecm(case):
    counts = per_class(case["image_count"]).double()

    def loss_of(logits):
        ratio = case["fg_bg_ratio"]
        return effective_class_margin_loss(
            logits, case["labels"], counts, background_ratio=ratio
        ).mean()

    pairs = value_and_gradient(case, loss_of)
    loss, published = pairs["values"]
    scores = scores_beside_background(case["logits"])
    ours = torch.cat([loss[None], scores.flatten()])
    theirs = torch.cat([torch.tensor([published]), case["scores"].flatten()])
    return {**pairs, "values": (ours, theirs)}


@compared_with(
    f"{DETECTRON2}: `sigmoid_cross_entropy_loss`",
    "sigmoid_cross_entropy_loss",
    "losses/golden/sigmoid_ce__*.npz",
)
def sigmoid_ce(case):
    def loss_of(logits):
        return sigmoid_cross_entropy_loss(logits[:, :-1], case["labels"]).mean()

    return value_and_gradient(case, loss_of)


@compared_with(
    f"{DETECTRON2}: `sigmoid_cross_entropy_loss` with `use_fed_loss`",
    "federated_loss, draw_federated_classes",
    "losses/golden/federated__*.npz",
    note="The indices are the classes that the same seed draws.",
)
def federated(case):
    weights = per_class(case["fed_loss_cls_weights"])
    generator = torch.Generator().manual_seed(case["torch_seed"])
    classes = draw_federated_classes(
        case["labels"], weights, num_classes=case["fed_loss_num_classes"], generator=generator
    )
    published = case["fed_classes"]
    pairs = value_and_gradient(
        case, lambda logits: federated_loss(logits[:, :-1], case["labels"], classes).mean()
    )
    return {**pairs, "indices": (classes.sort()[0], published[published < len(weights)].sort()[0])}


@compared_with(
    f"{LOCE}: `EquilibriumLoss`",
    "logit_adjusted_loss",
    "losses/golden/loce__*.npz",
    note="The running scores are given.",
)
def loce(case):
    def loss_of(logits):
        losses = logit_adjusted_loss(logits, case["labels"], case["mean_score"])
        return losses.sum() / case["avg_factor"]

    return value_and_gradient(case, loss_of)
