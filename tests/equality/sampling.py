"""Samplers and weights."""

import torch

from imbdet.losses import smooth_l1_loss, softmax_cross_entropy_loss
from imbdet.samplers import (
    HardSampler,
    IoUBalancedNegatives,
    QuotaSampler,
    ScoreHLRNegatives,
    pick_instance_balanced,
)
from imbdet.structures import Outputs, Positives
from imbdet.structures.classifiers import SOFTMAX
from imbdet.weighting import (
    ImportanceNegatives,
    ImportancePositives,
    WeightingProduct,
    Weights,
    carl_weights,
)
from tests.equality.matrix import Departure, compared_with
from tests.flow import make_candidates, make_samples
from tests.samplers import draws
from tests.weighting.factories import BoxCoder, random_candidates, samples_of

RANK_SORT = "kemaloksuz/RankSortLoss b41f64d"
NUM_DRAWS = 1000
DUPLICATES = "The published code fills up with positives that it has, too, and ends up with fewer."


@compared_with(
    f"{RANK_SORT}: `OHEMSampler`",
    "HardSampler",
    "samplers/golden/ohem__*.npz",
    note="The values are the losses of those chosen: of equal ones any may be chosen.",
)
def ohem(case):
    gt_inds, losses = case["gt_inds"], case["loss"]
    if case["add_gt_as_proposals"]:
        gt_inds = torch.cat([1 + torch.arange(case["num_gt"]), gt_inds])
        losses = torch.cat([case["gt_proposal_loss"], losses])
    sampler = QuotaSampler(
        HardSampler(),
        HardSampler(),
        batch_size_per_image=case["num"],
        positive_fraction=case["pos_fraction"],
    )
    idxs = sampler(draws.make_candidates(gt_inds - 1, losses=losses)).idxs
    pairs = [
        (losses[idxs[gt_inds[idxs] > 0]], losses[case["pos_inds"]]),
        (losses[idxs[gt_inds[idxs] == 0]], losses[case["neg_inds"]]),
    ]
    ours, theirs = (
        torch.cat([part.sort().values for part in side]) for side in zip(*pairs, strict=True)
    )
    return {"values": (ours, theirs)}


def drawn(case, sampler, candidates, pool, quota):
    """How often each of a pool is picked, and of how many repetitions."""
    counts = draws.count_picks(sampler, candidates, pool, quota, NUM_DRAWS)
    ours = torch.cat([torch.from_numpy(counts)[pool], torch.tensor([float(NUM_DRAWS)])])
    theirs = torch.cat([case["pick_counts"][pool], torch.tensor([case["reps"]])])
    return {"draws": (ours, theirs)}


@compared_with(
    f"{RANK_SORT}: `IoUBalancedNegSampler`",
    "IoUBalancedNegatives",
    "samplers/golden/iou_balanced_neg__*.npz",
    departures=dict.fromkeys(
        [
            "iou_balanced_neg__add_gt_max1",
            "iou_balanced_neg__bins5_floor0.1",
            "iou_balanced_neg__few_below_floor",
            "iou_balanced_neg__floor0_frac0.3",
            "iou_balanced_neg__libra_default_reused",
            "iou_balanced_neg__with_ignored",
        ],
        Departure(
            "The published bins end at the best box of all, ours at the best negative. With the "
            "published end the definition that ours is tested against has the published "
            "frequencies.",
            {"draws"},
        ),
    ),
)
def iou_balanced(case):
    # A sampler that is used again has changed its floor of -1.
    floor = case["floor_thr_after" if case["sampler_reused"] else "floor_thr"]
    sampler = IoUBalancedNegatives(floor, case["floor_fraction"], case["num_bins"])
    candidates = draws.make_candidates(case["gt_inds"] - 1, case["max_overlaps"])
    return drawn(case, sampler, candidates, candidates.neg_idxs, case["num_expected"])


@compared_with(
    f"{RANK_SORT}: `InstanceBalancedPosSampler`",
    "pick_instance_balanced",
    "samplers/golden/instance_balanced_pos__*.npz",
    departures={"instance_balanced_pos__skewed": Departure(DUPLICATES, {"draws"})},
)
def instance_balanced(case):
    candidates = draws.make_candidates(case["gt_inds"] - 1)
    pool, quota = candidates.pos_idxs, case["num_expected"]
    return drawn(case, pick_instance_balanced, candidates, pool, quota)


@compared_with(
    f"{RANK_SORT}: `CombinedSampler`",
    "pick_instance_balanced, IoUBalancedNegatives",
    "samplers/golden/combined_libra__*.npz",
    departures={"combined_libra__duplicate_extras": Departure(DUPLICATES, {"values"})},
    note="The values are the numbers of positives and negatives.",
)
def combined(case):
    sampler = QuotaSampler(
        pick_instance_balanced,
        IoUBalancedNegatives(floor_thresh=0.0),
        batch_size_per_image=case["num"],
        positive_fraction=case["pos_fraction"],
    )
    candidates = draws.make_candidates(case["full_gt_inds"] - 1, case["full_max_overlaps"])
    chosen = candidates.take(sampler(candidates))
    numbers = [len(chosen.pos_idxs), len(chosen.neg_idxs)]
    return {"values": (numbers, [case["num_pos_mean"], case["num_neg_mean"]])}


@compared_with(
    f"{RANK_SORT}: `ScoreHLRSampler`",
    "ScoreHLRNegatives, ImportanceNegatives",
    "samplers/golden/score_hlr__*.npz",
    note="The values are weights; those that are drawn at random are given the published losses.",
)
def score_hlr(case):
    is_negative = case["gt_inds"] == 0
    outputs = Outputs(
        case["cls_score"],
        deltas=case["bbox_pred"],
        box2box_transform=BoxCoder(tuple((1 / case["target_stds"]).tolist())),
        classifier=SOFTMAX,
    )
    candidates = make_candidates(
        torch.where(is_negative, case["num_class"], -1),
        torch.full((len(is_negative),), -1),
        num_classes=case["num_class"],
        boxes=case["bboxes"],
        outputs=outputs,
    )
    pool = candidates.neg_idxs
    sampler = ScoreHLRNegatives(score_thresh=case["score_thr"], iou_thresh=case["iou_thr"])
    pick = sampler(candidates, pool, case["num_expected"])
    if case["weights_is_none"]:
        return {"indices": (pick.idxs, case["neg_inds"])}
    num_ranked = case["n_deterministic"]
    losses = torch.zeros(len(candidates))
    losses[pool] = case["ori_loss"]
    chosen = samples_of(random_candidates([[3] * len(pick.idxs)]), importance=pick.importance)
    weights = ImportanceNegatives(k=case["k"], bias=case["bias"])(chosen, losses[case["neg_inds"]])
    return {
        "indices": (pick.idxs[:num_ranked], case["neg_inds"][:num_ranked]),
        "values": (weights.cls, case["neg_label_weights"]),
    }


@compared_with(
    f"{RANK_SORT}: `isr_p`",
    "ImportancePositives",
    "weighting/golden/isr_p__*.npz",
    departures={
        "isr_p__medium_label_weights": Departure(
            "Published, weights that were there before count twice.", {"values"}
        )
    },
    note="The objects are those that the published code tells apart. Both sides are in float32.",
    bounds={"values": 1e-5},
)
def isr_p(case):
    samples = samples_of_isr(case)
    losses = softmax_cross_entropy_loss(samples.pred_logits, samples.gt_labels)
    before = Weights(case["label_weights_in"], torch.ones(len(samples.pos_idxs)))
    isr = ImportancePositives(k=case["k"], bias=case["bias"])
    weights = WeightingProduct(lambda *_: before, isr)(samples, losses).cls
    return {"values": (weights, case["label_weights_out"])}


def samples_of_isr(case):
    """Samples with boxes that are decoded from the published targets."""
    labels, boxes = case["labels"], case["rois"][:, 1:]
    rows = (labels < case["num_class"]).nonzero().squeeze(1)
    gt_idxs = torch.full_like(labels, -1)
    if len(rows):
        gt_idxs[rows] = case["merged_gt_ids"]
    coder = BoxCoder(tuple((1 / case["target_stds"]).tolist()))
    candidates = make_candidates(labels, gt_idxs, num_classes=case["num_class"], boxes=boxes)
    samples = make_samples(candidates, case["cls_score"], case["bbox_pred"], coder)
    # Objects of several images count as one in the published code, though their boxes differ.
    vars(samples)["positives"] = Positives(
        boxes=boxes[rows],
        gt_boxes=coder.apply_deltas(case["bbox_targets"][rows], boxes[rows]),
        pred_deltas=samples.outputs.deltas_of(rows, labels[rows]),
        box2box_transform=coder,
    )
    return samples


@compared_with(f"{RANK_SORT}: `carl_loss`", "carl_weights", "weighting/golden/carl__*.npz")
def carl(case):
    labels = case["labels"]
    rows = (labels < case["num_class"]).nonzero().squeeze(1)
    logits, deltas = (case[n].double().requires_grad_() for n in ("cls_score", "bbox_pred"))
    scores = logits.sigmoid() if case["sigmoid"] else logits.softmax(dim=1)
    pred_deltas = Outputs(logits, deltas=deltas).deltas_of(rows, labels[rows])
    targets = case["bbox_targets"].double()[rows]
    box_losses = smooth_l1_loss(pred_deltas, targets, beta=case["beta"])
    weights = carl_weights(scores[rows, labels[rows]], k=case["k"], bias=case["bias"])
    # Without a given normalizer the published code divides by all samples.
    normalizer = case["avg_factor"] if case["avg_factor"] > 0 else len(labels)
    loss = (weights * box_losses).sum() / normalizer
    grads = torch.autograd.grad(loss, [logits, deltas])
    published = [case["grad_cls_score_f64"], case["grad_bbox_pred_f64"]]
    return {
        "values of the loss": (loss, float(case["loss_f64"])),
        "values of weights": (weights, case["carl_weights_f64"]),
        # The gradients have one kind: the logits' with a single positive is 0 but for rounding.
        "gradient": tuple(torch.cat([x.flatten() for x in side]) for side in (grads, published)),
    }
