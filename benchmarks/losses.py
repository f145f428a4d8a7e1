#!/usr/bin/env python
"""Time and memory of the classification losses, forward and backward.

    python benchmarks/losses.py                      # everything, some minutes
    python benchmarks/losses.py --quick --only growth

Times are medians over repetitions in turns; on a CPU those of the process's own CPU time, beside
the wall clock's. Ratios come with a bootstrap interval of 95 %.
"""

import argparse
import functools
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from measuring import compare, peak_memory, time_in_turns
from references import one_hot_focal_loss, pair_loop_ap_loss
from sections import run_sections, section_parser
from torch import Tensor

from imbdet import losses
from imbdet.programs.program import run_program

NUM_CLASSES = 80
NUM_IMAGES = 8


class Problem(NamedTuple):
    """Logits (M, K) with a few positives, their quality (P,), image and weight of each row (M,)."""

    logits: Tensor
    labels: Tensor
    quality: Tensor
    image_idxs: Tensor
    weights: Tensor


# Each loss as a function of a problem that returns a scalar.
LOSSES: dict[str, Callable[[Problem], Tensor]] = {
    "sigmoid cross-entropy": lambda p: losses.sigmoid_cross_entropy_loss(*p[:2], reduction="sum"),
    # The last column is the background's.
    "softmax cross-entropy": lambda p: losses.softmax_cross_entropy_loss(
        p.logits, p.labels.clamp(max=p.logits.shape[1] - 1), reduction="sum"
    ),
    "focal": lambda p: losses.focal_loss(*p[:2], reduction="sum"),
    "focal, one-hot": lambda p: one_hot_focal_loss(*p[:2]),
    "quality focal": lambda p: losses.quality_focal_loss(*p[:3], reduction="sum"),
    "varifocal": lambda p: losses.varifocal_loss(*p[:3], reduction="sum"),
    "GHM-C": lambda p: losses.GHMCLoss().to(p.logits.device)(*p[:2]).sum(),
    "DR": lambda p: losses.dr_loss(*p[:2]),
    "AP": lambda p: losses.ap_loss(*p[:2]),
    "AP, 8 images": lambda p: losses.ap_loss(*p[:2], image_idxs=p.image_idxs),
    "AP, weights": lambda p: losses.ap_loss(*p[:2], weights=p.weights),
    "AP, pair loop": lambda p: pair_loop_ap_loss(*p[:2]),
    "AUC": lambda p: losses.auc_loss(*p[:2]),
    "aLRP": lambda p: sum(losses.alrp_loss(*p[:3])),
    "Rank & Sort": lambda p: sum(losses.rank_sort_loss(*p[:3])),
}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the size")
    parser.add_argument("--repetitions", type=int, default=9, metavar="N")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    return parser.parse_args()


def make_problem(
    num_logits: float,
    num_positives: int,
    state: str,
    args: argparse.Namespace,
    num_classes: int = NUM_CLASSES,
) -> Problem:
    """A problem of RetinaNet's shape.

    Args:
        num_logits: number of logits, M K.
        num_positives: number of positives, P.
        state: "initial", all about the bias of the prior; "spread", negatives around -6 and
            positives around 0; "uniform", negatives in [-10, 6).
        args: command line, with device and dtype.
        num_classes: number of classes, K.
    """
    generator = torch.Generator(args.device).manual_seed(0)
    options = {"device": args.device, "generator": generator}
    num_rows = round(num_logits / num_classes)
    logits = torch.empty(
        num_rows, num_classes, device=args.device, dtype=getattr(torch, args.dtype)
    )
    if state == "uniform":
        logits.uniform_(-10, 6, generator=generator)
    else:
        mean, deviation = {"initial": (-4.6, 0.01), "spread": (-6, 2)}[state]
        logits.normal_(mean, deviation, generator=generator)
    rows = torch.randperm(num_rows, **options)[:num_positives].sort().values
    classes = torch.randint(0, num_classes, (num_positives,), **options)
    labels = torch.full((num_rows,), num_classes, device=args.device)
    labels[rows] = classes
    if state != "initial":
        logits[rows, classes] = 2 * torch.randn(num_positives, **options).to(logits.dtype)
    image_idxs = torch.arange(num_rows, device=args.device) * NUM_IMAGES // num_rows
    quality = torch.rand(num_positives, **options)
    weights = torch.rand(num_rows, **options)
    return Problem(logits.requires_grad_(), labels, quality, image_idxs, weights)


def prepare(names: Sequence[str], problem: Problem) -> dict[str, Callable[[], None]]:
    """Functions that do the forward and backward pass of each loss."""

    def run(name: str) -> None:
        problem.logits.grad = None
        LOSSES[name](problem).backward()

    return {name: functools.partial(run, name) for name in names}


def measure_memory(
    names: Sequence[str], problem: Problem, args: argparse.Namespace
) -> dict[str, float]:
    """Peak memory of losses beyond the logits, in units of the logits."""
    memory = {}
    for name, run in prepare(names, problem).items():
        problem.logits.grad = None
        memory[name] = peak_memory(run, args.device) / problem.logits.nbytes
    return memory


def time_pair_loop(args: argparse.Namespace) -> list[dict[str, Any]]:
    """AP loss beside a loop over the positives: 1M logits, 1000 positives."""
    rows = []
    for state in ("initial", "spread", "uniform"):
        problem = make_problem(1e6, 1000 // args.shrink, state, args)
        runs = prepare(["AP", "AP, pair loop"], problem)
        timings = time_in_turns(runs, args.repetitions, args.device, {"AP, pair loop": 3})
        fast, slow = (t.seconds(args.device) for t in timings.values())
        ratio, low, high = compare(slow, fast)
        milliseconds = {f"{name} [ms]": 1e3 * t.median(args.device) for name, t in timings.items()}
        rows.append({"state": state, **milliseconds, "ratio": ratio, "low": low, "high": high})
    return rows


def time_losses(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every loss on 16M logits, 500 positives; memory beyond the logits, in units of the logits."""
    names = [name for name in LOSSES if name != "AP, pair loop"]
    rows = []
    for state in ("initial", "spread"):
        problem = make_problem(16e6 / args.shrink, 500, state, args)
        timings = time_in_turns(prepare(names, problem), args.repetitions, args.device)
        memory = measure_memory(names, problem, args)
        for name, timing in timings.items():
            rows.append(
                {
                    "state": state,
                    "loss": name,
                    "ms": 1e3 * timing.median(args.device),
                    "wall ms": 1e3 * statistics.median(timing.wall),
                    "memory": memory[name],
                }
            )
    return rows


def time_one_hot(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Focal loss with a one-hot target beside the one without, on 16M logits."""
    problem = make_problem(16e6 / args.shrink, 500, "spread", args)
    names = ["focal", "focal, one-hot"]
    timings = time_in_turns(prepare(names, problem), args.repetitions, args.device)
    memory = measure_memory(names, problem, args)
    fast, slow = (t.seconds(args.device) for t in timings.values())
    ratio, low, high = compare(slow, fast)
    ratios = {"time ratio": ratio, "low": low, "high": high}
    return [{**ratios, "memory ratio": memory["focal, one-hot"] / memory["focal"]}]


def time_growth(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Nanoseconds per logit for more and more logits, 500 positives."""
    names = ["AP", "aLRP", "Rank & Sort", "focal", "GHM-C"]
    rows = []
    for size in (1e5, 3e5, 1e6, 3e6, 1e7, 3e7):
        if size > 3e7 / args.shrink:
            break
        problem = make_problem(size, 500, "spread", args)
        timings = time_in_turns(prepare(names, problem), args.repetitions, args.device)
        per_logit = {
            name: 1e9 * timing.median(args.device) / problem.logits.numel()
            for name, timing in timings.items()
        }
        rows.append({"logits": problem.logits.numel(), **per_logit})
    return rows


def time_positives(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds for more and more positives among 4M logits."""
    names = ["AP", "aLRP", "Rank & Sort"]
    rows = []
    for num_positives in (30, 100, 300, 1000, 3000, 10_000):
        if num_positives > 10_000 / args.shrink:
            break
        problem = make_problem(4e6 / args.shrink, num_positives, "spread", args)
        timings = time_in_turns(prepare(names, problem), args.repetitions, args.device)
        milliseconds = {name: 1e3 * t.median(args.device) for name, t in timings.items()}
        rows.append({"positives": num_positives, **milliseconds})
    return rows


SECTIONS = {
    "pair_loop": time_pair_loop,
    "losses": time_losses,
    "one_hot": time_one_hot,
    "growth": time_growth,
    "positives": time_positives,
}


def main() -> None:
    """Run the sections and print their tables."""
    args = parse_args()
    args.shrink = 16 if args.quick else 1
    run_sections(SECTIONS, args, dtype=args.dtype)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
