#!/usr/bin/env python
"""How often the intervals of `imbdet compare` hold what they should, on test sets made up anew.

    python benchmarks/interval_coverage.py            # half an hour
    python benchmarks/interval_coverage.py --quick    # few test sets

Two detectors, of which one's boxes fit better, are tested on many test sets. What they reach on
average, and by how much they differ, is known by that; counted is in how many of the test sets the
interval of 95 % contains it. "deviation" is how far the values scatter, "error" what half the
length of the intervals says of it, both as quadratic means. "classes" are the differences of all
classes with intervals, one by one.
"""

import argparse
import sys
from typing import Any

import numpy as np
from made_up import make_detections, make_ground_truth
from sections import run_sections, section_parser

from imbdet.compare.jackknife import draw_groups, replicated_ap
from imbdet.evaluation.matches import match
from imbdet.figures.class_ap import class_ap
from imbdet.figures.coco_table import coco_table
from imbdet.programs.program import run_program

# Numbers of images, of classes, and of objects and detections of an image.
SETTINGS = {
    "5 classes, 50 images": (50, 5, 5.0, 20),
    "5 classes, 200 images": (200, 5, 5.0, 20),
    "80 classes, 50 images": (50, 80, 5.0, 20),
    "80 classes, 100 images": (100, 80, 5.0, 20),
    "80 classes, 300 images": (300, 80, 5.0, 20),
}
MISFITS = {"base": 0.12, "better": 0.10}
METRICS = ("AP", "AP50", "AP75")


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Share of intervals that contain the mean over all test sets, in percent."""
    return [row for name in args.settings for row in _measure(name, args.test_sets)]


def _measure(name: str, num_test_sets: int) -> list[dict[str, Any]]:
    tested = np.stack([_test(*SETTINGS[name], seed) for seed in range(num_test_sets)])
    value, low, high = np.moveaxis(tested, -1, 0)  # (test sets, Q)
    mean = np.nanmean(value, axis=0)
    quantities = [f"{metric}, {of}" for of in ("value", "difference") for metric in METRICS]
    columns = {of: slice(i, i + 1) for i, of in enumerate(quantities)}
    columns["classes, difference"] = slice(len(quantities), None)
    is_held = (low <= mean) & (mean <= high)
    is_known = ~np.isnan(low)
    return [
        {
            "setting": name,
            "of": of,
            "mean": np.nanmean(mean[at]),
            "deviation": np.sqrt(np.nanmean((value - mean)[:, at][is_known[:, at]] ** 2)),
            "error": np.sqrt(np.nanmean((high - low)[:, at] ** 2)) / (2 * 1.96),
            "held [%]": 100 * is_held[:, at][is_known[:, at]].mean(),
        }
        for of, at in columns.items()
    ]


def _test(
    num_images: int, num_classes: int, num_objects: float, num_detections: int, seed: int
) -> np.ndarray:
    """(Q, 3) values and ends of intervals of a test set: metrics, then classes; possibly NaN."""
    ground_truth = make_ground_truth(num_images, num_classes, num_objects, seed)
    runs = {
        run: match(ground_truth, make_detections(ground_truth, misfit, num_detections, i))
        for i, (run, misfit) in enumerate(MISFITS.items(), 2 * seed)
    }
    matches = runs["base"]
    groups = draw_groups(num_images)
    replicated = {run: replicated_ap(found.by_class, groups) for run, found in runs.items()}
    table = coco_table(matches.images_of_area, replicated)
    classes = [str(k) for k in range(num_classes)]
    by_class = class_ap(classes, matches.num_objects, matches.images_of_class, replicated)
    of_class = dict(zip(by_class.classes, by_class.differences["better"], strict=True))
    estimates = [
        *(table.values["base"][metric] for metric in METRICS),
        *(table.differences["better"][metric] for metric in METRICS),
        *(of_class.get(name) for name in classes),
    ]
    return np.array([(e.value, e.low, e.high) if e else [np.nan] * 3 for e in estimates])


SECTIONS = {"coverage": measure}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS, cpu_only=True)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--test-sets", type=int, default=400, metavar="N")
    parser.add_argument("--quick", action="store_true", help="few test sets")
    args = parser.parse_args()
    if args.quick:
        args.test_sets = 10
    return args


def main() -> None:
    """Measure and print."""
    args = parse_args()
    run_sections(SECTIONS, args, test_sets=args.test_sets)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
