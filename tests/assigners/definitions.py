"""Assigners as their papers define them: one object, one prior at a time, for one image."""

import itertools
import math

import numpy as np
import torch
from torchvision.ops import box_convert, box_iou, generalized_box_iou

BACKGROUND, IGNORED = -1, -2


def ious_of(boxes, gt_boxes):
    """(R, G) IoU in double precision."""
    return box_iou(boxes.double(), gt_boxes.double()).nan_to_num().numpy()


def border(point, gt_box):
    (x, y), (x1, y1, x2, y2) = point.tolist(), gt_box.tolist()
    return min(x - x1, x2 - x, y - y1, y2 - y)


def center_of(gt_box):
    x1, y1, x2, y2 = gt_box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2


def firsts(values, number):
    """Indices of the lowest values, the first of equal ones."""
    return sorted(range(len(values)), key=lambda i: (values[i], i))[:number]


def max_iou(priors, targets, negative_below, positive_from, low_quality):
    ious = ious_of(priors.boxes, targets.boxes)
    found = []
    for row in ious:
        if len(row) == 0:
            found.append(BACKGROUND)
            continue
        best = int(np.argmax(row))
        is_best_prior = any(row[g] == ious[:, g].max() for g in range(len(row)))
        if row[best] >= positive_from or (low_quality and is_best_prior):
            found.append(best)
        else:
            found.append(BACKGROUND if row[best] < negative_below else IGNORED)
    return found


def highest(wanted, num_priors):
    """The object with the highest value for each prior, among the wanted pairs."""
    found, values = [BACKGROUND] * num_priors, [-math.inf] * num_priors
    for (gt, prior), value in sorted(wanted.items()):
        if value > values[prior]:
            found[prior], values[prior] = gt, value
    return found


def atss(priors, targets, quality, topk):
    """ATSS with a ``quality`` (R, G)."""
    wanted = {}
    for gt, gt_box in enumerate(targets.boxes):
        x, y = center_of(gt_box)
        candidates, start, own = [], 0, range(priors.num_per_point)
        for size in priors.level_sizes:
            points = priors.points[start : start + size : len(own)].tolist()
            distances = [(px - x) ** 2 + (py - y) ** 2 for px, py in points]
            nearest = firsts(distances, topk)
            candidates += [start + len(own) * point + i for point in nearest for i in own]
            start += size
        values = quality[candidates, gt]
        if len(candidates) == 1:
            continue
        threshold = values.mean() + values.std(ddof=1)
        for prior in candidates:
            is_inside = border(priors.points[prior], gt_box) > 0.01
            if is_inside and quality[prior, gt] >= threshold:
                wanted[gt, prior] = quality[prior, gt]
    return highest(wanted, len(priors))


def scores_and_ious(targets, outputs):
    """(R, G) scores of the objects' classes, and IoUs of the predicted boxes."""
    scores = outputs.logits.double().sigmoid()[:, targets.classes].numpy()
    return scores, ious_of(outputs.boxes, targets.boxes)


def task_aligned(priors, targets, outputs, topk, alpha, beta):
    scores, ious = scores_and_ious(targets, outputs)
    alignment, wanted = scores**alpha * ious**beta, {}
    for gt, gt_box in enumerate(targets.boxes):
        for prior in firsts(-alignment[:, gt], topk):
            if alignment[prior, gt] > 0 and border(priors.points[prior], gt_box) > 0.01:
                wanted[gt, prior] = ious[prior, gt]
    return highest(wanted, len(priors))


def dynamic_k(ious, costs, candidates, topk):
    """SimOTA's dynamic k with ``costs`` (R, G)."""
    num_priors, num_gt = costs.shape
    choosers = {prior: [] for prior in candidates}
    for gt in range(num_gt):
        number = max(1, int(np.sort(ious[candidates, gt])[::-1][:topk].sum()))
        for i in firsts(costs[candidates, gt], number):
            choosers[candidates[i]].append(gt)
    found = [BACKGROUND] * num_priors
    for prior, gts in choosers.items():
        if gts:
            found[prior] = gts[0] if len(gts) == 1 else int(np.argmin(costs[prior]))
    return found


def entropies(outputs, class_idx, target):
    """(R, K) cross-entropies with a target, number or (R,), for one class and 0 for the others."""
    logits = outputs.logits.double()
    targets = torch.zeros_like(logits)
    targets[:, class_idx] = torch.as_tensor(target)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return losses.numpy(), (targets - logits.sigmoid()).numpy()


def simota(priors, targets, outputs, center_radius, topk, iou_weight, cls_weight):
    _, ious = scores_and_ious(targets, outputs)
    costs, candidates = np.zeros_like(ious), set()
    for gt, gt_box in enumerate(targets.boxes):
        losses, _ = entropies(outputs, targets.classes[gt], 1)
        costs[:, gt] = cls_weight * losses.sum(axis=1) - iou_weight * np.log(ious[:, gt] + 1e-7)
        x, y = center_of(gt_box)
        for prior, ((px, py), stride) in enumerate(zip(priors.points, priors.strides, strict=True)):
            is_inside = border(priors.points[prior], gt_box) > 0
            is_central = max(abs(px - x), abs(py - y)) < center_radius * stride
            if not (is_inside and is_central):
                costs[prior, gt] += 1e5
            if is_inside or is_central:
                candidates.add(prior)
    return dynamic_k(ious, costs, sorted(candidates), topk)


def soft_label(priors, targets, outputs, soft_center_radius, topk, iou_weight):
    _, ious = scores_and_ious(targets, outputs)
    costs, candidates = np.zeros_like(ious), set()
    for gt, gt_box in enumerate(targets.boxes):
        losses, gaps = entropies(outputs, targets.classes[gt], torch.from_numpy(ious[:, gt]))
        costs[:, gt] = (losses * gaps**2).sum(axis=1) - iou_weight * np.log(ious[:, gt] + 1e-7)
        for prior, (point, stride) in enumerate(zip(priors.points, priors.strides, strict=True)):
            distance = math.dist(point.tolist(), center_of(gt_box)) / float(stride)
            costs[prior, gt] += 10 ** (distance - soft_center_radius)
            if border(point, gt_box) > 0:
                candidates.add(prior)
    return dynamic_k(ious, costs, sorted(candidates), topk)


def fcos(priors, targets, radius):
    wanted = {}
    first, last = priors.level_sizes[0], len(priors) - priors.level_sizes[-1]
    for prior, (point, stride) in enumerate(
        zip(priors.points, priors.strides.tolist(), strict=True)
    ):
        lowest = 0 if prior < first else 4 * stride
        highest_size = math.inf if prior >= last else 8 * stride
        for gt, gt_box in enumerate(targets.boxes):
            (x, y), (x1, y1, x2, y2) = point.tolist(), gt_box.tolist()
            offset = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
            size = max(x - x1, x2 - x, y - y1, y2 - y)
            is_wanted = offset < radius * stride and border(point, gt_box) > 0
            if is_wanted and lowest < size < highest_size:
                area = np.float32(gt_box[2] - gt_box[0]) * np.float32(gt_box[3] - gt_box[1])
                wanted[gt, prior] = np.float32(1e8) - area
    return highest(wanted, len(priors))


def paa(priors, targets, outputs, topk, iou_threshold, giou_weight):
    ious = ious_of(priors.boxes, targets.boxes)
    nearest = [
        int(np.argmax(row)) if len(row) and row.max() >= iou_threshold else BACKGROUND
        for row in ious
    ]
    for gt in range(len(targets)):  # the best priors of an object, and of the last one if several
        for prior in np.flatnonzero((ious[:, gt] == ious[:, gt].max()) & (ious[:, gt] > 0)):
            nearest[prior] = gt
    found = [BACKGROUND] * len(priors)
    levels = np.repeat(np.arange(len(priors.level_sizes)), priors.level_sizes)
    for gt, gt_box in enumerate(targets.boxes):
        entropy, gap = entropies(outputs, targets.classes[gt], 1)
        weights = np.full(entropy.shape[1], 0.75)
        weights[targets.classes[gt]] = 0.25
        gious = generalized_box_iou(outputs.boxes.double(), gt_box[None].double())[:, 0].numpy()
        losses = (weights * gap**2 * entropy).sum(axis=1) + giou_weight * (1 - gious)
        candidates = []
        for level in range(len(priors.level_sizes)):
            own = [i for i, other in enumerate(nearest) if other == gt and levels[i] == level]
            candidates += sorted(own, key=lambda i: (losses[i], i))[:topk]
        candidates.sort(key=lambda i: (losses[i], i))
        for prior in candidates[: number_of_positives(losses[candidates])]:
            found[prior] = gt
    return found


def number_of_positives(losses):
    """Number of positives of ascending losses, by two normal distributions of scikit-learn."""
    if len(losses) < 2:
        return len(losses)
    weights, variances = np.full(2, 0.5), np.ones(2)
    means, before = np.array([losses[0], losses[-1]]), -math.inf

    def log_densities():
        squares = (losses[:, None] - means) ** 2 / variances
        return np.log(weights) - 0.5 * (squares + np.log(2 * math.pi * variances))

    for _ in range(100):
        log_density = np.logaddexp.reduce(log_densities(), axis=1)
        shares = np.exp(log_densities() - log_density[:, None])
        totals = shares.sum(axis=0) + 10 * np.finfo(float).eps
        means = (shares * losses[:, None]).sum(axis=0) / totals
        variances = (shares * (losses[:, None] - means) ** 2).sum(axis=0) / totals + 1e-6
        weights = totals / totals.sum()
        if abs(log_density.mean() - before) < 1e-3:
            break
        before = log_density.mean()
    lower = np.flatnonzero(log_densities()[:, 0] >= log_densities()[:, 1])
    if len(lower) == 0:
        return len(losses)
    return int(lower[np.argmax(np.logaddexp.reduce(log_densities(), axis=1)[lower])]) + 1


def matching_costs(targets, outputs, box_format):
    """(R, G) costs of a Hungarian matching in one image."""
    boxes, gt_boxes = outputs.boxes.double(), targets.boxes.double()
    scores = outputs.logits.double().sigmoid()[:, targets.classes]
    presence = 0.25 * (1 - scores) ** 2 * -(scores + 1e-12).log()
    absence = 0.75 * scores**2 * -(1 - scores + 1e-12).log()
    ((height, width),) = targets.image_sizes
    scale = torch.tensor([width, height, width, height])
    pair = [box_convert(x, "xyxy", box_format) / scale for x in (boxes, gt_boxes)]
    distances = (pair[0][:, None] - pair[1]).abs().sum(dim=2)
    gious = generalized_box_iou(boxes, gt_boxes)
    return (2 * (presence - absence) + 5 * distances - 2 * gious).numpy()


def lowest_sum(costs):
    """The lowest sum of costs, (R, G), of pairs, one for each column or as many as there are."""
    if costs.shape[0] < costs.shape[1]:
        costs = costs.T
    columns = range(costs.shape[1])
    return min(
        sum(costs[row, column] for row, column in zip(rows, columns, strict=True))
        for rows in itertools.permutations(range(costs.shape[0]), len(columns))
    )
