"""Samplers, clusters and ranks without a detector."""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from detectors import NUM_CLASSES
from measuring import compare, time_in_turns
from torch import Tensor

# isort: split
from detectron2.modeling.box_regression import Box2BoxTransform

from imbdet import samplers
from imbdet.structures import Candidates, Outputs, Priors, Targets
from imbdet.weighting import hierarchical_local_rank

# Samplers of positives and negatives, and the most candidates of those that compare all pairs.
SAMPLERS: dict[str, tuple[samplers.PoolSampler, samplers.PoolSampler]] = {
    "random": (samplers.pick_random, samplers.pick_random),
    "OHEM": (samplers.HardSampler(), samplers.HardSampler()),
    "OHEM-NMS": (samplers.HardSampler(0.7), samplers.HardSampler(0.7)),
    "Libra": (samplers.pick_instance_balanced, samplers.IoUBalancedNegatives()),
    "IoU-HLR": (samplers.IoUHLRPositives(), samplers.pick_random),
    "Score-HLR": (samplers.pick_random, samplers.ScoreHLRNegatives()),
}
MOST_CANDIDATES = {"OHEM-NMS": 10_000, "Score-HLR": 10_000}


def time_hlr(args: argparse.Namespace) -> list[dict[str, Any]]:
    """HLR of 512 positives, 80 classes of 2 objects, beside a loop; goal: a ratio of 20."""
    generator = torch.Generator(args.device).manual_seed(0)
    options = {"device": args.device, "generator": generator}
    objects = torch.randint(2 * NUM_CLASSES, (512,), **options)
    problem = torch.rand(512, **options), objects, objects // 2
    fast, slow = hierarchical_local_rank, loop_hierarchical_local_rank
    assert torch.equal(fast(*problem), slow(*problem))
    # Enough calls in turn that both find the caches as they left them.
    num_calls = {"HLR": 100, "loop": 1}
    runs = {
        "HLR": lambda: [fast(*problem) for _ in range(num_calls["HLR"])],
        "loop": lambda: slow(*problem),
    }
    timings = time_in_turns(runs, args.repetitions, args.device)
    seconds = {
        name: [s / num_calls[name] for s in timing.seconds(args.device)]
        for name, timing in timings.items()
    }
    ratio, low, high = compare(seconds["loop"], seconds["HLR"])
    milliseconds = {f"{name} [ms]": 1e3 * statistics.median(s) for name, s in seconds.items()}
    return [{**milliseconds, "ratio": ratio, "low": low, "high": high}]


def loop_hierarchical_local_rank(values: Tensor, objects: Tensor, classes: Tensor) -> Tensor:
    """See :func:`hierarchical_local_rank`: class after class, object after object."""
    ranks = torch.empty_like(objects)
    for class_ in classes.unique():
        rows = (classes == class_).nonzero().squeeze(1)
        rows = rows[values[rows].argsort(descending=True, stable=True)]
        local_ranks = torch.empty_like(rows)
        for object_ in objects[rows].unique():
            is_member = objects[rows] == object_
            local_ranks[is_member] = torch.arange(int(is_member.sum()), device=rows.device)
        rows = rows[local_ranks.argsort(stable=True)]
        ranks[rows] = torch.arange(len(rows), device=rows.device)
    return ranks


def time_clusters(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of nms_clusters, 20 boxes around an object."""
    rows = []
    for num_boxes in (500, 1000, 2000, 5000)[: 2 if args.quick else None]:
        candidates = make_candidates(num_boxes, args.device)
        boxes, scores = candidates.boxes, candidates.outputs.scores[:, 0]
        run = {"nms_clusters": lambda b=boxes, s=scores: samplers.nms_clusters(b, s, 0.5)}
        timing = time_in_turns(run, args.repetitions, args.device)["nms_clusters"]
        rows.append({"boxes": num_boxes, "ms": 1e3 * timing.median(args.device)})
    return rows


def time_growth(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Nanoseconds per candidate of an image, of which 512 are chosen."""
    rows = []
    for size in (1000, 3000, 10_000, 30_000, 100_000)[: 2 if args.quick else None]:
        candidates = make_candidates(size, args.device)
        runs: dict[str, Callable[[], Any]] = {}
        for name, (positive, negative) in SAMPLERS.items():
            if size <= MOST_CANDIDATES.get(name, size):
                sampler = samplers.QuotaSampler(
                    positive, negative, batch_size_per_image=512, positive_fraction=0.25
                )
                runs[name] = lambda sampler=sampler, c=candidates: sampler(c)
        timings = time_in_turns(runs, args.repetitions, args.device)
        nanoseconds = {name: 1e9 * t.median(args.device) / size for name, t in timings.items()}
        rows.append({"candidates": size, **nanoseconds})
    return rows


def make_candidates(
    size: int, device: str, num_objects: int | None = None, num_classes: int = NUM_CLASSES
) -> Candidates:
    """Candidates of one image, a tenth of them positives, with predictions.

    Args:
        size: number of candidates.
        device: device of the candidates.
        num_objects: number of objects in the image; None is one for 20 candidates.
        num_classes: number of classes.
    """
    generator = torch.Generator(device).manual_seed(0)
    options = {"device": device, "generator": generator}
    num_objects = num_objects or max(size // 20, 1)
    gt_boxes = 1000 * torch.rand(num_objects, 4, **options)
    gt_boxes[:, 2:] = gt_boxes[:, :2] + 20 + gt_boxes[:, 2:] / 4
    gt_idxs = torch.randint(num_objects, (size,), **options)
    boxes = gt_boxes[gt_idxs] + 8 * torch.randn(size, 4, **options)
    is_positive = torch.rand(size, **options) < 0.1
    cls_losses = torch.rand(size, **options)
    outputs = Outputs(
        torch.rand(size, num_classes, **options).logit(),
        deltas=0.1 * torch.randn(size, 4, **options),
        box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
    )
    return Candidates(
        gt_labels=torch.where(is_positive, gt_idxs % num_classes, num_classes),
        gt_idxs=torch.where(is_positive, gt_idxs, -1),
        ious=0.5 * is_positive + 0.5 * torch.rand(size, **options) ** 4,
        num_per_image=[size],
        num_classes=num_classes,
        priors=Priors(boxes, num_per_image=[size]),
        targets=Targets(gt_boxes, torch.zeros(num_objects, dtype=torch.int64, device=device)),
        outputs=outputs,
        cls_losses=cls_losses,
    )
