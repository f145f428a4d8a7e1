"""Assigners."""

import torch

from imbdet import assigners
from imbdet.assigners import Outputs, Priors, Targets
from imbdet.assigners.paa import split_losses
from imbdet.structures.classifiers import SIGMOID, SOFTMAX
from tests.equality.detr import ALIGN_DETR, IMAGE_SIZE, Matched, xyxy
from tests.equality.matrix import Departure, compared_with

DETECTRON2 = "facebookresearch/detectron2 02b5c4e2"
MMDET = "open-mmlab/mmdetection 3.3.0"
PAA = "kkhoot/PAA 13d57217"
WEIGHTS = ("cls_weight", "l1_weight", "giou_weight")
FIRST = Departure("Of priors that are equally near the first counts; published, any.", {"indices"})


def priors_of(case):
    return Priors(
        case["anchors"],
        points=case["points"][:, :2],
        strides=case["points"][:, 2],
        level_sizes=case["level_sizes"].tolist(),
    )


def assign(case, assigner, *names):
    """The assignment of an image by an assigner with the case's options of these names."""
    targets = Targets(case["gt_boxes"], case["gt_labels"])
    outputs = Outputs(case["logits"], case["boxes"]) if "logits" in case else None
    options = {name: case[name] for name in names}
    return assigner(priors_of(case), targets, *([outputs] if outputs else []), **options)


def against(case, assignment):
    """Ours and theirs: indices, and IoUs of rows that both assign to the same object."""
    is_equal = assignment.gt_idxs == case["gt_idxs"]
    ious = assignment.ious[is_equal], case["ious"][is_equal]
    return {"indices": (assignment.gt_idxs, case["gt_idxs"]), "values": ious}


@compared_with(
    f"{MMDET}: `ATSSAssigner`",
    "assigners.atss",
    "assigners/golden/atss__*.npz",
    departures={"atss__twins_9anchors": FIRST},
)
def atss(case):
    return against(case, assign(case, assigners.atss, "topk"))


@compared_with(
    f"{MMDET}: `ATSSAssigner` with `alpha`", "assigners.ddod", "assigners/golden/atss_cost__*.npz"
)
def ddod(case):
    return against(case, assign(case, assigners.ddod, *({"topk", "alpha"} & case.keys())))


@compared_with(f"{MMDET}: `SimOTAAssigner`", "assigners.simota", "assigners/golden/simota__*.npz")
def simota(case):
    names = ("center_radius", "candidate_topk", "iou_weight", "cls_weight")
    return against(case, assign(case, assigners.simota, *names))


@compared_with(
    f"{MMDET}: `DynamicSoftLabelAssigner`",
    "assigners.soft_label",
    "assigners/golden/soft_label__*.npz",
)
def soft_label(case):
    names = ("soft_center_radius", "topk", "iou_weight")
    return against(case, assign(case, assigners.soft_label, *names))


@compared_with(
    f"{MMDET}: `TaskAlignedAssigner`", "assigners.task_aligned", "assigners/golden/tal__*.npz"
)
def task_aligned(case):
    return against(case, assign(case, assigners.task_aligned, "topk", "alpha", "beta"))


@compared_with(
    f"{MMDET}: `TOODHead` targets",
    "assigners.task_aligned",
    "assigners/golden/tood__*.npz",
    note="The values are IoUs and qualities.",
)
def tood(case):
    assignment = assign(case, assigners.task_aligned, "topk", "alpha", "beta")
    return {
        "indices": (assignment.gt_idxs, case["gt_idxs"]),
        "values of IoUs": (assignment.ious, case["ious"]),
        "values of qualities": (assignment.quality, case["norm_metrics"]),
    }


@compared_with(
    f"{DETECTRON2}: `FCOS.match_anchors`", "assigners.fcos", "assigners/golden/fcos__*.npz"
)
def fcos(case):
    images = range(case["num_images"])
    boxes = [case[f"gt_boxes{image}"] for image in images]
    classes = torch.cat([case[f"gt_labels{image}"] for image in images])
    counts = torch.tensor([len(own) for own in boxes])
    targets = Targets(torch.cat(boxes), classes, counts.tolist())
    radius = case["center_sampling_radius"]
    found = assigners.fcos(priors_of(case), targets, center_sampling_radius=radius).gt_idxs
    published = case["gt_idxs"]  # objects of each image count from 0
    first = (counts.cumsum(0) - counts)[:, None]
    return {"indices": (found, torch.where(published < 0, published, published + first).flatten())}


def labels_by_paa(case):
    """Labels of all anchors, from the published losses of the candidates."""
    priors = Priors(case["anchors"], level_sizes=case["level_sizes"].tolist())
    rows, gt_idxs = case["pos_inds"], case["pos_gt_inds"]
    is_positive = split_losses(
        case["pos_losses"], gt_idxs, priors.levels_at(rows).idxs, topk=case["topk"]
    )
    labels = torch.full((len(priors),), case["num_classes"])
    labels[rows[is_positive]] = case["gt_labels"][gt_idxs[is_positive]]
    return labels


EQUAL = Departure("Of equal losses and densities the first counts; published, any.", {"indices"})
EITHER = (
    "Published in float32 and float64, which differ where a fit has two ends; ours has one of them."
)


@compared_with(
    f"{MMDET}: `PAAHead.get_pos_loss`, `paa_reassign`",
    "assigners.paa",
    "assigners/golden/paa__*.npz",
    departures={"paa__syn_ties": EQUAL},
    note=EITHER,
)
def paa(case):
    found = labels_by_paa(case)
    published = [case["out_labels"], case["out_labels_f64"]]
    return {"indices": (found, min(published, key=lambda labels: (labels != found).sum()))}


OTHER_END = Departure(
    "MMDetection's end of the fit, which the original does not reach in float32.", {"indices"}
)


@compared_with(
    f"{PAA}: `compute_paa`",
    "assigners.paa",
    "assigners/golden/paa__*.npz",
    departures={"paa__big": OTHER_END, "paa__many_k3": OTHER_END, "paa__syn_ties": EQUAL},
)
def original_paa(case):
    found = labels_by_paa(case)
    background = case["num_classes"]
    published = case["kkhoot_labels"]
    return {"indices": (found, torch.where(published < 0, background, published))}


def queries_of(case):
    """Queries, and the objects of an image."""
    size = tuple(case["img_shape"].tolist())
    targets = Targets(case["gt_boxes"], case["gt_labels"], image_sizes=[size])
    return Priors(torch.zeros(len(case["boxes"]), 4)), targets


@compared_with(
    f"{MMDET}: `HungarianAssigner`",
    "assigners.hungarian",
    "assigners/golden/hungarian__*.npz",
    note="The value is what the matching costs.",
)
def hungarian(case):
    is_softmax = case["cls_cost"] == "ClassificationCost"
    outputs = Outputs(case["logits"], case["boxes"], classifier=SOFTMAX if is_softmax else SIGMOID)
    found = assigners.hungarian(
        *queries_of(case),
        outputs,
        box_format="xyxy" if case["box_format"] == "xyxy" else "cxcywh",
        **dict(zip(WEIGHTS, case["weights"].tolist(), strict=True)),
    ).gt_idxs
    costs = [
        case["cost"][gt_idxs >= 0, gt_idxs[gt_idxs >= 0]].double().sum() if "cost" in case else 0.0
        for gt_idxs in (found, case["gt_idxs"])
    ]
    return {"indices": (found, case["gt_idxs"]), "values": costs}


@compared_with(
    f"{MMDET}: `TopkHungarianAssigner`",
    "assigners.topk_hungarian",
    "assigners/golden/topk_hungarian__*.npz",
    note="The published cost takes the sigmoid twice; to compare, ours gets scores for logits.",
)
def topk_hungarian(case):
    scores = case["logits"].sigmoid()
    outputs = Outputs(scores, case["boxes"])
    found = assigners.topk_hungarian(*queries_of(case), outputs, topk=case["topk"])
    pairs = {"indices": (found.gt_idxs, case["gt_idxs"])}
    if "pos_inds" in case:
        rows = case["pos_inds"]
        alignment = scores[rows, case["gt_labels"][found.gt_idxs[rows]]] * found.ious[rows] ** 6
        pairs["values of IoUs"] = found.ious[rows], case["pos_ious"]
        pairs["values of alignments"] = alignment, case["pos_metrics"]
    return pairs


@compared_with(
    f"{ALIGN_DETR}: `HungarianMatcher`",
    "assigners.topk_hungarian",
    "losses/golden/align_detr__*.npz",
    departures={
        "align_detr__crowded_k1": Departure(
            "Published, no query of an image with many objects is matched.", {"indices"}
        )
    },
    note="Published, all objects together get half of the queries at most; here the same number.",
)
def align_detr(case):
    matched = Matched(case)
    num_images, num_queries = case["logits"].shape[:2]
    num_objects = case["num_gt"].tolist()
    sizes = [(IMAGE_SIZE, IMAGE_SIZE)] * num_images
    weights = zip(WEIGHTS, case["cost_weights"].tolist(), strict=True)
    found = assigners.topk_hungarian(
        Priors(torch.zeros(num_queries, 4)),
        Targets(xyxy(case["gt_boxes"].double()), case["gt_labels"], num_objects, sizes),
        Outputs(matched.logits.detach(), xyxy(case["pred_boxes"].double().flatten(0, 1))),
        topk=max(min(case["match_number"], num_queries // 2 // max(*num_objects, 1)), 1),
        box_format="cxcywh",
        **dict(weights),
    ).gt_idxs
    published = torch.full_like(found, -1)
    published[matched.rows] = matched.gt_idxs
    return {"indices": (found, published)}
