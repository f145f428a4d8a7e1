"""Losses for classes with few examples."""

from collections import defaultdict

import torch

from imbdet.losses import (
    BalancedGroups,
    EQLv2Loss,
    EqualizedFocalLoss,
    EqualizedQualityFocalLoss,
    EquilibriumLoss,
    SeesawLoss,
    balanced_group_loss,
    draw_federated_classes,
    draw_group_samples,
    effective_class_margin_loss,
    equalization_loss,
    federated_loss,
    logit_adjusted_loss,
    sigmoid_cross_entropy_loss,
)
from imbdet.structures.classifiers import OBJECTNESS_SOFTMAX, SIGMOID_BESIDE_BACKGROUND
from tests.equality.matrix import Departure, compared_with

DETECTRON2 = "facebookresearch/detectron2 02b5c4e2"
EQLV2 = "tztztztztz/eqlv2 907fad90"
MMDET = "open-mmlab/mmdetection 3.3.0"
UNITED_PERCEPTION = "ModelTC/United-Perception 52aaeb9e"
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
    "effective_class_margin_loss, SIGMOID_BESIDE_BACKGROUND.scores",
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

    scores = SIGMOID_BESIDE_BACKGROUND.scores(case["logits"])
    pairs = value_and_gradient(case, loss_of)
    return {**pairs, "values of scores": (scores, case["scores"][:, :-1])}


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


@compared_with(
    f"{LOCE}: `LoceRoIHead._update_mean_score`",
    "EquilibriumLoss",
    "losses/golden/loce_score__*.npz",
    note="Samples of its memory, which is not here, are one object for each class.",
)
def loce_score(case):
    module = EquilibriumLoss(case["num_classes"], momentum=case["alpha"], start=case["bg_score"])
    ours, theirs = [], []
    for step in range(case["steps"]):
        labels, objects = loce_samples(case, step)
        module(case[f"logits{step}"].double(), labels, gt_idxs=objects)
        ours.append(module.class_scores.clone())
        theirs.append(case[f"mean_score{step}"].double())
    return {"values": (torch.cat(ours), torch.cat(theirs))}


def loce_samples(case, step):
    """Labels and objects of a step: the first samples of an image are its positives."""
    num_classes, per_image = case["num_classes"], case["samples_per_image"]
    remembered = per_class(case[f"selected_labels{step}"])
    num_samples = per_image * case["num_images"]
    labels = torch.full((num_samples,), num_classes)
    objects = torch.full((num_samples,), -1)
    for image in range(case["num_images"]):
        idxs = per_class(case[f"pos_gt_inds{step}_{image}"])
        rows = image * per_image + torch.arange(len(idxs))
        labels[rows] = per_class(case[f"gt_labels{step}_{image}"])[idxs]
        objects[rows] = 100 * image + idxs
    return torch.cat([labels, remembered]), torch.cat([objects, 1000 + remembered])


def steps(case, losses_of, buffers, precisions=("_f64", "")):
    """Losses, buffers and gradients of steps one after the other.

    Args:
        losses_of: function of logits and of a function from names to arrays of the step, which
            returns the sum of the losses.
        buffers: functions without arguments that return our buffers, by published name; they are
            called after each step.
        precisions: endings of names, of which the first that a case has is compared.
    """
    end = next(end for end in precisions if f"grad0{end}" in case)
    pairs = defaultdict(list)
    for step in range(case["steps"]):
        logits = case[f"logits{step}"].double().flatten(0, -2).requires_grad_()
        loss = losses_of(logits, lambda name, step=step: case[f"{name}{step}"])
        (grad,) = torch.autograd.grad(loss, logits)
        pairs["gradient"].append((grad, case[f"grad{step}{end}"].double().flatten(0, -2)))
        pairs["values"].append((loss.detach()[None], per_class(case[f"loss{step}{end}"])))
        for name, ours in buffers.items():
            published = per_class(case[f"{name}{step}{end}"]).double()
            pairs[f"values of {name}"].append((ours().double(), published))
    return {kind: tuple(map(torch.cat, zip(*found, strict=True))) for kind, found in pairs.items()}


@compared_with(
    f"{MMDET}: `SeesawLoss`",
    "SeesawLoss",
    "losses/golden/seesaw*.npz",
    note="The values are losses and numbers of samples.",
)
def seesaw(case):
    module = SeesawLoss(case["num_classes"], p=case["p"], q=case["q"], eps=case["eps"])
    for step in range(case["steps"]):
        parts = [f"loss_{part}{step}" for part in ("classes", "objectness")]
        case.setdefault(f"loss{step}", sum(case[name] for name in parts))
        for end in ("", "_f64"):
            if f"cum_samples{step}{end}" in case:
                case[f"cum_samples{step}{end}"] = case[f"cum_samples{step}{end}"][:-1]

    def losses_of(logits, array):
        losses = module(logits, array("labels"))
        weights = array("weights") if "weights0" in case else torch.ones_like(losses)
        return (losses * weights).mean()

    return steps(case, losses_of, {"cum_samples": lambda: module.class_counts.clone()})


@compared_with(
    f"{MMDET}: `SeesawLoss.get_activation`",
    "OBJECTNESS_SOFTMAX.scores",
    "losses/golden/seesaw*.npz",
)
def seesaw_scores(case):
    return {"values": (OBJECTNESS_SOFTMAX.scores(case["logits0"]), case["scores0"][:, :-1])}


# Published names of the sums of gradients, and of their ratios.
SUMS = ("pos_grad", "neg_grad", "pos_neg")


def sums_of_gradients(module, start):
    sums = (
        lambda: module.pos_grads.clone(),
        lambda: module.neg_grads.clone(),
        lambda: module.ratios(start),
    )
    return dict(zip(SUMS, sums, strict=True))


@compared_with(
    f"{EQLV2}: `EQLv2`",
    "EQLv2Loss",
    "losses/golden/eqlv2*.npz",
    note="The values are losses, sums of gradients and their ratios.",
)
def eqlv2(case):
    options = {name: case[name] for name in ("gamma", "mu", "alpha")}
    module = EQLv2Loss(case["num_classes"], **options)

    def losses_of(logits, array):
        return module(logits, array("labels")).mean()

    return steps(case, losses_of, sums_of_gradients(module, 100.0))


@compared_with(
    f"{EQLV2}: `EQLv2.get_activation`",
    "SIGMOID_BESIDE_BACKGROUND.scores",
    "losses/golden/eqlv2*.npz",
)
def eqlv2_scores(case):
    scores = SIGMOID_BESIDE_BACKGROUND.scores(case["logits0"])
    return {"values": (scores, case["scores0"][:, :-1])}


def labels_of(array, num_classes):
    """Labels from published ones: 0 for the background, 1 to K for classes and -1 ignored."""
    labels = array("labels").flatten()
    return torch.where(labels > 0, labels - 1, torch.where(labels == 0, num_classes, -1))


@compared_with(
    f"{UNITED_PERCEPTION}: `EqualizedFocalLoss`",
    "EqualizedFocalLoss",
    "losses/golden/efl__*.npz",
    departures={
        "efl__extreme_easy": Departure(
            "The logarithm of a score near 1 loses its digits as published.",
            {"gradient", "values", *(f"values of {name}" for name in SUMS)},
        )
    },
    note="The values are losses, sums of gradients and their ratios, at most 1.",
)
def efl(case):
    num_classes, alpha, gamma = (case[key] for key in ("num_classes", "focal_alpha", "focal_gamma"))
    module = EqualizedFocalLoss(num_classes, alpha=alpha, gamma=gamma, scale=case["scale_factor"])

    def losses_of(logits, array):
        labels, normalizer = labels_of(array, num_classes), array("normalizer")
        return module(logits, labels, normalizer=normalizer).sum() / normalizer

    buffers = sums_of_gradients(module, 1.0)
    return steps(case, losses_of, {**buffers, "pos_neg": lambda: module.ratios(1.0).clamp(max=1)})


@compared_with(
    f"{UNITED_PERCEPTION}: `EqualizedQualityFocalLoss`",
    "EqualizedQualityFocalLoss",
    "losses/golden/eqfl__*.npz",
    departures={
        "eqfl__all_ignored": Departure(
            "Without any gradient the ratio is 1; published, 0.", {"values of pos_neg"}
        )
    },
    note="The values are losses, sums of gradients and their ratios, at most 1.",
)
def eqfl(case):
    num_classes = case["num_classes"]
    module = EqualizedQualityFocalLoss(
        num_classes, gamma=case["focal_gamma"], scale=case["scale_factor"]
    )

    def losses_of(logits, array):
        labels, normalizer = labels_of(array, num_classes), array("normalizer")
        is_positive = (labels >= 0) & (labels < num_classes)
        quality = array("quality").flatten()[is_positive]
        return module(logits, labels, quality, normalizer=normalizer).sum() / normalizer

    buffers = sums_of_gradients(module, 1.0)
    return steps(case, losses_of, {**buffers, "pos_neg": lambda: module.ratios(1.0).clamp(max=1)})
