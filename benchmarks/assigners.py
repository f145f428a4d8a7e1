#!/usr/bin/env python
"""What assigners cost: beside code that goes image by image, each alone, and within an iteration.

    python benchmarks/assigners.py                    # everything
    python benchmarks/assigners.py --only reference --repetitions 25
    python benchmarks/assigners.py --quick

On a CPU the seconds are those of the process, on a GPU those of the wall clock. Intervals are
bootstrap intervals of 95 %. Priors are one square for each cell of five levels; predictions are
random, around the priors.
"""

import argparse
import statistics
import sys
from typing import Any

import torch
from assigners_by_image import atss_by_image, task_aligned_by_image
from detectors import NUM_CLASSES, Training, build_detector, make_batch
from measuring import compare, now, peak_memory, time_in_turns
from sections import run_sections, section_parser

from imbdet import assigners
from imbdet.assigners import Outputs, Priors, Targets
from imbdet.learning.learner import Learner
from imbdet.methods import ASSIGNERS
from imbdet.modeling.registry import lookup
from imbdet.programs.program import run_program
from imbdet.structures import needs_of

STRIDES = (8, 16, 32, 64, 128)
# One anchor of 8 strides on each cell, as in the publications of the dense assigners.
ONE_ANCHOR = [
    *("MODEL.ANCHOR_GENERATOR.SIZES", str([[8 * stride] for stride in STRIDES])),
    *("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", "[[1.0]]"),
]
# Goals: how many times as fast as the reference, and the percentage of an iteration.
GOAL_RATIO, GOAL_SHARE = 3.0, 2.0
DENSE = [name for name, method in ASSIGNERS if "dense heads" in method.places]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    two = {"type": int, "nargs": 2, "metavar": ("HEIGHT", "WIDTH")}
    parser.add_argument("--size", **two, default=[800, 1216], help="of the images")
    parser.add_argument("--images", type=int, default=1, metavar="N", help="of a batch")
    parser.add_argument("--boxes", type=int, default=100, metavar="N", help="objects of an image")
    parser.add_argument("--assigners", nargs="+", metavar="NAME", default=DENSE)
    parser.add_argument("--repetitions", type=int, default=15, metavar="N")
    parser.add_argument("--iterations", type=int, default=2, metavar="N", help="of 'share'")
    parser.add_argument("--quick", action="store_true", help="small sizes and numbers")
    args = parser.parse_args()
    if args.quick:
        args.size, args.boxes, args.repetitions, args.iterations = [96, 128], 10, 3, 1
    return args


def make_problem(
    args: argparse.Namespace, num_boxes: int | None = None
) -> tuple[Priors, Targets, Outputs]:
    """Priors, objects of all sizes and predictions of a batch."""
    generator = torch.Generator(args.device).manual_seed(0)
    options: dict[str, Any] = {"device": args.device, "generator": generator}
    height, width = args.size
    points, strides = [], []
    for stride in STRIDES:
        ys, xs = (torch.arange(0, end, stride, device=args.device) for end in (height, width))
        grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1).flatten(0, 1)
        points.append(grid + stride / 2)
        strides.append(torch.full((len(grid),), float(stride), device=args.device))
    centers, by_prior = torch.cat(points), torch.cat(strides)
    half = 4 * by_prior[:, None]
    boxes = torch.cat([centers - half, centers + half], dim=1)
    priors = Priors(boxes, strides=by_prior, level_sizes=[len(level) for level in points])

    number = args.images * (num_boxes or args.boxes)
    sides = 8 + (min(args.size) / 2) * torch.rand(number, 2, **options).square()
    corners = torch.rand(number, 2, **options) * torch.tensor([width, height], device=args.device)
    classes = torch.randint(NUM_CLASSES, (number,), **options)
    targets = Targets(
        torch.cat([corners - sides / 2, corners + sides / 2], dim=1),
        classes,
        [num_boxes or args.boxes] * args.images,
        [(height, width)] * args.images,
    )
    num_rows = args.images * len(priors)
    logits = torch.randn(num_rows, NUM_CLASSES, **options) - 4
    predicted = boxes.repeat(args.images, 1) + 8 * torch.randn(num_rows, 4, **options)
    return priors, targets, Outputs(logits, predicted)


def compare_with_reference(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of a batch, beside the same choices image by image, in turns."""
    priors, targets, outputs = make_problem(args)
    contenders = {
        "atss": (
            lambda: assigners.atss(priors, targets),
            lambda: atss_by_image(priors, targets),
        ),
        "task_aligned": (
            lambda: assigners.task_aligned(priors, targets, outputs),
            lambda: task_aligned_by_image(priors, targets, outputs),
        ),
    }
    rows = []
    for name, (ours, reference) in contenders.items():
        assert torch.equal(ours().gt_idxs, reference().gt_idxs)
        timings = time_in_turns(
            {"ours": ours, "reference": reference}, args.repetitions, args.device
        )
        seconds = {who: timing.seconds(args.device) for who, timing in timings.items()}
        ratio, low, high = compare(seconds["reference"], seconds["ours"])
        medians = {f"{who} [ms]": 1e3 * statistics.median(s) for who, s in seconds.items()}
        verdict = "met" if low > GOAL_RATIO else "missed"
        goal = f"{GOAL_RATIO:g} times: {verdict}"
        pairs = {"priors": len(priors), "objects": len(targets)}
        rows.append(
            {"assigner": name, **pairs, **medians, "ratio": ratio, "low": low, "high": high}
            | {"goal": goal}
        )
    return rows


def time_alone(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds and memory of each assigner, with the objects of an image and with 1,000."""
    rows = []
    for num_boxes in (args.boxes, 1000)[: 1 if args.quick else None]:
        problem = make_problem(args, num_boxes)
        for name in args.assigners:
            method = ASSIGNERS.get(name)
            given = problem if "outputs" in needs_of(method.call) else problem[:2]
            repetitions = args.repetitions if num_boxes < 1000 else 1
            run = {name: lambda method=method, given=given: method.call(*given)}
            timing = time_in_turns(run, repetitions, args.device)[name]
            rows.append(
                {
                    "assigner": name,
                    "objects": num_boxes * args.images,
                    "ms": 1e3 * timing.median(args.device),
                    "MB": peak_memory(run[name], args.device) / 1e6,
                }
            )
    return rows


def time_share(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Part of an iteration of RetinaNet, forward, backward and update, that assigning takes."""
    batch = make_batch(args.images, args.size, min(args.boxes, 12))
    rows = []
    for name in args.assigners:
        opts = [*ONE_ANCHOR, "MODEL.ASSIGNER.NAME", name]
        model = build_detector("retinanet", "plain", opts, device=args.device)
        spent = _listen(model.learner, args.device)
        training = Training(model)
        seconds = []
        for seed in range(1 + args.iterations):  # the first one warms up
            spent.clear()
            start = now(args.device)
            training.step(batch, seed=seed)
            seconds.append((now(args.device) - start, sum(spent)))
        iteration, assigning = (statistics.median(part) for part in zip(*seconds[1:], strict=True))
        share = 100 * assigning / iteration
        verdict = "met" if share < GOAL_SHARE else "missed"
        rows.append(
            {
                "assigner": name,
                "iteration [s]": iteration,
                "assigning [ms]": 1e3 * assigning,
                "%": share,
                "goal": f"{GOAL_SHARE:g} %: {verdict}",
            }
        )
    return rows


def _listen(learner: Learner, device: str) -> list[float]:
    """Seconds of each call of a learner's assigner, from now on."""
    spent, assigner = [], learner.assigner

    def timed(*args: Any) -> Any:
        start = now(device)
        assignment = assigner(*args)
        spent.append(now(device) - start)
        return assignment

    timed.needs = needs_of(assigner)  # type: ignore[attr-defined]
    learner.assigner = timed
    return spent


SECTIONS = {
    "reference": compare_with_reference,
    "alone": time_alone,
    "share": time_share,
}


def main() -> None:
    """Run the sections and print their tables."""
    args = parse_args()
    for name in args.assigners:
        lookup(ASSIGNERS, name, "--assigners")
    setting = {"images": f"{args.images} x {args.size[0]} x {args.size[1]}"}
    run_sections(SECTIONS, args, **setting)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
