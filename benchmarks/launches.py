#!/usr/bin/env python
"""How many operations an iteration asks of the device, and how often it waits for an answer.

    python benchmarks/launches.py                                     # with 1, 2 and 8 images
    python benchmarks/launches.py --contenders "Faster R-CNN, PISA" --images 2

A GPU is faster with a few thousand boxes than a program is in asking for it, so that such work
takes as long as its operations are many. These can be counted on a CPU. Backbone and heads are
left out, which detectron2's detectors have in common with ours, and the backward pass has its own
column.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from detectors import METHODS, Training, build_detector, make_batch
from operation_counter import PARTS, OperationCounter
from sections import run_sections, section_parser

from imbdet.kernels import chunks
from imbdet.ops import box_matrices
from imbdet.programs.program import run_program

# Detector, method, and whether it is detectron2's own.
CONTENDERS: dict[str, tuple[str, str, bool]] = {}
for _detector, _title in (("faster_rcnn", "Faster R-CNN"), ("retinanet", "RetinaNet")):
    CONTENDERS[f"detectron2's {_title}"] = (_detector, "plain", True)
    for _method in METHODS[_detector]:
        _name = _title if _method == "plain" else f"{_title}, {_method}"
        CONTENDERS[_name] = (_detector, _method, False)
DEFAULT = [
    *("detectron2's Faster R-CNN", "Faster R-CNN"),
    *(f"Faster R-CNN, {method}" for method in ("PISA", "OHEM", "Libra")),
    *("detectron2's RetinaNet", "RetinaNet"),
]
SIZE, NUM_BOXES = (96, 128), 12
# A backbone that takes little time: its operations are not counted.
SMALL = [
    *("MODEL.RESNETS.DEPTH", "18"),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", "64"),
    *("MODEL.FPN.OUT_CHANNELS", "32"),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", "32"),
]
# Parts whose operations are those of backbone and heads, all or most of them.
NOT_OURS = ("network", "backward")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS, cpu_only=True)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=DEFAULT)
    parser.add_argument("--images", nargs="+", type=int, default=[1, 2, 8], help="of a batch")
    return parser.parse_args()


def count_parts(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Operations of an iteration, and how often it waits for the device, by part."""
    rows = []
    for name in args.contenders:
        training = build_training(name)
        for num_images in args.images:
            counter = count_iteration(training, num_images)
            about = {"detector": name, "images": num_images}
            rows.append({**about, "counts": "operations", **_by_part(counter.operations)})
            rows.append({**about, "counts": "waits", **_by_part(counter.synchronisations)})
    return rows


def as_on_a_gpu() -> None:
    """Compute large matrices in as few parts on a CPU as on a GPU, from now on."""
    box_matrices.MAX_PAIRS_ON_CPU = box_matrices.MAX_PAIRS
    chunks.CHUNK_ENTRIES_CPU = chunks.CHUNK_ENTRIES


def build_training(name: str) -> Training:
    """A contender, ready for iterations."""
    detector, method, is_detectron2 = CONTENDERS[name]
    return Training(build_detector(detector, method, SMALL, device="cpu", detectron2=is_detectron2))


def count_iteration(training: Training, num_images: int) -> OperationCounter:
    """Count what an iteration on a batch of noise asks of the device."""
    batch = make_batch(num_images, SIZE, NUM_BOXES)
    with OperationCounter() as counter:
        training.forward(batch, seed=0).backward()
    return counter


def _by_part(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of the forward pass with their sum, then those of the backward pass."""
    forward = {part: counts.get(part, 0) for part in (*PARTS, "other") if part not in NOT_OURS}
    return {**forward, "forward": sum(forward.values()), "backward": counts["backward"]}


SECTIONS = {"parts": count_parts}


def main() -> None:
    """Run the sections and print their tables."""
    args = parse_args()
    as_on_a_gpu()
    size = f"{SIZE[0]} x {SIZE[1]}, {NUM_BOXES} objects each"
    run_sections(SECTIONS, args, images=f"noise, {size}")


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
