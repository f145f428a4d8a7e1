#!/usr/bin/env python
"""Measure how much AP varies with the images in the trainings of a search on shapes.

    imbdet search --space examples/search_losses.yaml --output output/search_losses \\
        --iterations 4050
    python benchmarks/image_noise.py output/search_losses

writes docs/results/shapes_image_noise.json, which benchmarks/search.py plays searches from: at each
rung the error of the difference of two trainings with the same seed by the jackknife over images,
and how much of its variance the two methods share with all seeds.
"""

import argparse
import itertools
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from optuna import load_study
from results_table import write_results
from runs import ROOT

from imbdet.errors import UserError
from imbdet.figures.estimates import jackknife_variance
from imbdet.programs.program import run_program
from imbdet.search.halving import Measured, Task
from imbdet.search.storage import open_storage, sqlite_url
from imbdet.search.trials import results_of


class Noise(NamedTuple):
    """How much differences of methods vary with the images at a rung.

    Attributes:
        iteration: iteration of the rung.
        variance: variance by images of the difference of two trainings with the same seed, in
            squared points of AP; the mean over pairs of methods and seeds.
        of_methods: part of the variance that all seeds have in common.
    """

    iteration: int
    variance: float
    of_methods: float


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("search", type=Path, help="--output of a search")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "docs" / "results" / "shapes_image_noise.json",
        metavar="FILE",
        help="where the errors are written to",
    )
    return parser.parse_args(argv)


def noise_of(measured: Mapping[Task, Measured]) -> Iterator[Noise]:
    """The noise at each rung that two methods or more have reached with two seeds or more.

    The variance of a difference is v_m + v_s, where methods have v_m with every seed; that of its
    mean over S seeds is v_m + v_s / S. From these two v_m follows.
    """
    for iteration in sorted({task.iteration for task in measured}):
        by_method: dict[str, dict[int, np.ndarray]] = {}
        for task, found in measured.items():
            if task.iteration == iteration:
                by_method.setdefault(task.arm, {})[task.seed] = found.ap[1:]
        seeds = set.intersection(*(set(of_seeds) for of_seeds in by_method.values()))
        if len(by_method) < 2 or len(seeds) < 2:
            continue
        # (methods, seeds, groups of images)
        aps = np.array([[of_seeds[seed] for seed in seeds] for of_seeds in by_method.values()])
        pairs = [first - second for first, second in itertools.combinations(aps, 2)]
        one = statistics.mean(jackknife_variance(pair).mean() for pair in pairs)
        mean = statistics.mean(jackknife_variance(pair.mean(axis=0)) for pair in pairs)
        of_methods = (len(seeds) * mean - one) / (len(seeds) - 1)
        yield Noise(iteration, float(one), float(of_methods / one))


def main(argv: Sequence[str] | None = None) -> None:
    """Print what is found, and write it."""
    args = parse_args(argv)
    file = args.search / "search.db"
    if not file.is_file():
        raise UserError(f"'{file}' is not there: name the --output of a search.")
    storage = open_storage(sqlite_url(file))
    found: list[Noise] = []
    for about in storage.get_all_studies():
        study = load_study(study_name=about.study_name, storage=storage)
        measured, _ = results_of(study.get_trials(deepcopy=False))
        found += noise_of(measured)
    if not found:
        raise UserError(f"'{file}' has no rung that two methods reached with two seeds or more.")
    for noise in found:
        print(
            f"iteration {noise.iteration}: error {noise.variance**0.5:.2f}, "
            f"{noise.of_methods:.2f} of its variance is of the methods"
        )
    by_iteration: dict[int, list[float]] = {}
    for noise in found:
        by_iteration.setdefault(noise.iteration, []).append(noise.variance)
    errors = {key: statistics.mean(values) ** 0.5 for key, values in by_iteration.items()}
    of_methods = statistics.mean(noise.of_methods for noise in found)
    command = " ".join(["python", "benchmarks/image_noise.py", *sys.argv[1:]])
    write_results(args.json, {"command": command, "errors": errors, "of_methods": of_methods})


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
