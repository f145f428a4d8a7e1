#!/usr/bin/env python
"""How often the intervals of `imbdet compare` hold what they should, on test sets made up anew.

    python benchmarks/coverage.py                    # some minutes
    python benchmarks/coverage.py --quick            # few test sets

Two detectors, of which one's boxes fit better, are tested on many test sets. What they reach on
average, and by how much they differ, is known by that; counted is in how many of the test sets the
interval of 95 % from resamples of its images contains it, in percent: for the interval of
`imbdet compare`, and for others that statistics knows.

The percentile interval is that of the resamples' AP as it is. The basic one is mirrored at the
value, and the bias-corrected one (BC) shifts the percentiles by the share of resamples below the
value; it has no end where that is 0 or 1. "outside" are the values that are not in their own
percentile interval.
"""

import argparse
import sys
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from made_up import make_detections, make_ground_truth
from sections import run_sections, section_parser

from imbdet.compare.bootstrap import resample, resampled_ap
from imbdet.evaluation.matches import match
from imbdet.figures.estimates import CONFIDENCE, estimate, nan_mean
from imbdet.program import run_program

# Images, classes, objects and detections of an image.
SETTINGS = {"few classes": (200, 5, 5.0, 20), "many rare classes": (100, 80, 5.0, 20)}
MISFITS = (0.12, 0.10)
METRICS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}
TAIL = (1 - CONFIDENCE) / 2


def ours(values: np.ndarray) -> tuple[float, float]:
    """Of the value (1 + B,) of a data set and its resamples, the ends of `imbdet compare`."""
    found = estimate(values, num_images=len(values))
    return found.low, found.high


def percentile(values: np.ndarray) -> tuple[float, float]:
    """Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, sec. 13.3."""
    return tuple(np.quantile(values[1:], [TAIL, 1 - TAIL]))


def basic(values: np.ndarray) -> tuple[float, float]:
    """Davison and Hinkley, "Bootstrap Methods and their Application", 1997, sec. 5.2.1."""
    low, high = percentile(values)
    return 2 * values[0] - high, 2 * values[0] - low


def bias_corrected(values: np.ndarray) -> tuple[float, float]:
    """Efron and Tibshirani, sec. 14.3, without acceleration."""
    below = np.mean(values[1:] < values[0])
    if below in (0, 1):
        return np.nan, np.nan
    normal = NormalDist()
    shift = 2 * normal.inv_cdf(below)
    levels = [normal.cdf(shift + normal.inv_cdf(level)) for level in (TAIL, 1 - TAIL)]
    return tuple(np.quantile(values[1:], levels))


INTERVALS: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {
    "imbdet": ours,
    "percentile": percentile,
    "basic": basic,
    "BC": bias_corrected,
}


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Share of intervals that contain the mean over all test sets, in percent."""
    return [row for name in args.settings for row in _measure(name, args)]


def _measure(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    tested = np.stack([_test(name, args.resamples, seed) for seed in range(args.test_sets)])
    more = range(args.test_sets, args.test_sets * (1 + args.more))
    known = np.concatenate([tested[..., 0], *[_test(name, 0, seed)[None, ..., 0] for seed in more]])
    rows = []
    for place, metric in enumerate(METRICS):
        for what, of_runs in (
            ("value", lambda values: values[:, 0]),
            ("difference", lambda values: values[:, 1] - values[:, 0]),
        ):
            values, truth = of_runs(tested[:, :, place]), of_runs(known[:, :, place]).mean()
            ends = {kind: np.array([find(v) for v in values]) for kind, find in INTERVALS.items()}
            own = ends["percentile"]
            is_inside = (own[:, 0] <= values[:, 0]) & (values[:, 0] <= own[:, 1])
            rows.append(
                {
                    "setting": name,
                    "of": f"{metric}, {what}",
                    "mean": truth,
                    "deviation": values[:, 0].std(),
                    "of resamples": values[:, 1:].std(axis=1).mean(),
                    "their bias": (values[:, 1:].mean(axis=1) - values[:, 0]).mean(),
                    **{
                        kind: 100 * np.mean((found[:, 0] <= truth) & (truth <= found[:, 1]))
                        for kind, found in ends.items()
                    },
                    "outside": 100 * np.mean(~is_inside),
                }
            )
    return rows


def _test(name: str, num_resamples: int, seed: int) -> np.ndarray:
    """(2, 3, 1 + B) metrics of both detectors on a test set and its resamples, in percent."""
    num_images, num_classes, num_objects, num_detections = SETTINGS[name]
    ground_truth = make_ground_truth(num_images, num_classes, num_objects, seed)
    weights = resample(num_images, num_resamples, seed)
    metrics = []
    for run, misfit in enumerate(MISFITS):
        detections = make_detections(ground_truth, misfit, num_detections, 2 * seed + run)
        values = resampled_ap(match(ground_truth, detections).by_class, weights)[:, :, 0]
        metrics.append([nan_mean(values[:, :, at], axis=(1, 2)) for at in METRICS.values()])
    return np.array(metrics)


SECTIONS = {"coverage": measure}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS, cpu_only=True)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--test-sets", type=int, default=400, metavar="N")
    parser.add_argument("--resamples", type=int, default=200, metavar="N", help="of a test set")
    parser.add_argument(
        "--more", type=int, default=4, metavar="N", help="times as many sets for the means alone"
    )
    parser.add_argument("--quick", action="store_true", help="few test sets")
    args = parser.parse_args()
    if args.quick:
        args.test_sets, args.resamples = 10, 40
    return args


def main() -> None:
    """Measure and print."""
    args = parse_args()
    run_sections(SECTIONS, args, test_sets=args.test_sets, resamples=args.resamples)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
