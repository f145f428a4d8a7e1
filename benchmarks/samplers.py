#!/usr/bin/env python
"""What samplers and weightings cost: as parts of iterations, and alone.

    python benchmarks/samplers.py                       # everything, of Faster R-CNN
    python benchmarks/samplers.py --detector retinanet --only parts
    python benchmarks/samplers.py --quick

On a CPU the seconds are those of the process, on a GPU those of the wall clock. Intervals are
bootstrap intervals of 95 %. The detectors are random, but busy as trained ones: see detectors.py.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping
from typing import Any

from detectors import METHODS, Training, build_detector, make_batch
from measuring import now
from part_timer import PARTS, PartTimer
from samplers_alone import time_clusters, time_growth, time_hlr
from sections import run_sections, section_parser
from torch import nn

from imbdet.programs.program import run_program
from imbdet.wording import counted

QUICK_METHODS = ["plain", "OHEM", "PISA"]
QUICK_KEYS = [
    *("MODEL.RPN.POST_NMS_TOPK_TRAIN", "200"),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "64"),
]

# Parts that choose and weigh.
ADDED_PARTS = ("RPN sampling", "sampling", "weighting", "CARL")

# Parts of an iteration, and the percentage of it that they should stay below together.
GOALS: dict[str, tuple[list[str], float]] = {
    "IoUBalanced": (["sampling"], 1.0),
    "Libra": (["sampling"], 1.0),
    "Libra-RPN": (["RPN sampling"], 1.0),
    "PISA": (["weighting", "CARL"], 3.0),
}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    parser.add_argument("--detector", choices=METHODS, default="faster_rcnn")
    choices = "; ".join(f"{name}: {', '.join(methods)}" for name, methods in METHODS.items())
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help=f"default: all. {choices}")
    two = {"type": int, "nargs": 2, "metavar": ("HEIGHT", "WIDTH")}
    parser.add_argument("--size", **two, default=[800, 1216], help="of the images of 'parts'")
    parser.add_argument("--images", type=int, default=1, metavar="N", help="of a batch")
    parser.add_argument("--boxes", type=int, default=12, metavar="N", help="objects of an image")
    parser.add_argument("--iterations", type=int, default=5, metavar="N", help="of 'parts'")
    parser.add_argument("--repetitions", type=int, default=9, metavar="N", help="of the others")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and numbers, whatever else is said"
    )
    args = parser.parse_args()
    methods = METHODS[args.detector]
    args.methods = args.methods or (QUICK_METHODS if args.quick else list(methods))
    if unknown := set(args.methods) - set(methods):
        parser.error(f"no method {', '.join(sorted(unknown))}: choose from {', '.join(methods)}")
    if args.quick:
        args.size, args.iterations, args.repetitions = [96, 128], 2, 3
    return args


def build(method: str, args: argparse.Namespace) -> nn.Module:
    """The detector with a method; all have the same weights."""
    return build_detector(
        args.detector, method, QUICK_KEYS if args.quick else (), device=args.device
    )


def time_parts(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Parts of whole iterations, forward and backward (medians)."""
    batch = make_batch(args.images, args.size, args.boxes)
    rows = []
    for method in args.methods:
        model = build(method, args)
        training, timer = Training(model), PartTimer(model, args.device)
        iterations = []
        for i in range(1 + args.iterations):  # the first one warms up
            timer.clear()
            start = now(args.device)
            training.step(batch, seed=i)
            seconds = now(args.device) - start - timer.overhead
            iterations.append({"iteration": seconds, **timer.seconds})
        medians = {
            part: statistics.median(seconds[part] for seconds in iterations[1:])
            for part in iterations[0]
        }
        rows.append(_in_unit("ms", 1e3, method, medians))
        rows.append(_in_unit("%", 100 / medians["iteration"], method, medians))
        if method in GOALS:
            rows[-1]["goal"] = _judge(rows[-1], *GOALS[method])
    return rows


def _in_unit(unit: str, factor: float, method: str, seconds: Mapping[str, float]) -> dict[str, Any]:
    """A row of the parts and of all that a method adds, the preview left out."""
    added = sum(seconds.get(part, 0.0) for part in ADDED_PARTS)
    seconds = {**seconds, "all but preview": added}
    columns = ("iteration", *PARTS, "all but preview")
    values = {part: factor * seconds[part] if part in seconds else None for part in columns}
    return {"method": method, "unit": unit, **values}


def _judge(percent: Mapping[str, Any], parts: list[str], limit: float) -> str:
    share = sum(percent[part] for part in parts)
    verdict = "met" if share < limit else "missed"
    return f"{' + '.join(parts)} < {limit:g} %: {verdict}"


SECTIONS = {
    "parts": time_parts,
    "hlr": time_hlr,
    "clusters": time_clusters,
    "growth": time_growth,
}


def main() -> None:
    """Run the sections and print their tables."""
    args = parse_args()
    iterations = counted(args.iterations, "iteration")
    setting = {
        "detector": f"{args.detector}, {args.images} x {counted(args.boxes, 'object')}",
        "size of parts": f"{args.size[0]} x {args.size[1]}, {iterations}",
    }
    run_sections(SECTIONS, args, **setting)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
