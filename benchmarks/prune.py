#!/usr/bin/env python
"""Train on the parts of small shapes that matter, by `imbdet prune`, and on random parts.

    python benchmarks/prune.py --seeds 1 2 3 --json docs/results/pruning.json
    python benchmarks/prune.py --seeds 1 2 3 --keep 0.3 --by variance forgetting --output output/0.3

For each seed, which is that of the images as well, a training on everything keeps a ledger, by
which its data are pruned; then others train on what is kept, with as many iterations. Parts are
those of `imbdet prune` by each score of `--by`, and "highest variance": the images with the highest
sums of its variances and nothing else, as published for objects (Yagi, 2025,
https://arxiv.org/abs/2505.17245), without what `imbdet prune` does about doubtful classes, rare
ones and images that are all hard.

The table has the mean AP over the seeds, and the difference to the random part of the same size,
with an interval of 95 % over the seeds. Trainings that are finished are not repeated, a training
that was stopped goes on; with other `--opts` they need another `--output`.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from results_table import check_seeds, format_table, write_results
from runs import ROOT, SETTINGS, Run
from shapes_trial import ShapesTrial

from imbdet.cli import main as imbdet
from imbdet.programs.program import run_program
from imbdet.pruning.pruned_file import without_images
from imbdet.pruning.scores import SCORES
from imbdet.pruning.units import LedgerColumns
from imbdet.wording import percent

SETTING = SETTINGS["small_shapes"]
BASELINE, PUBLISHED = "random", "highest variance"


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED")
    parser.add_argument("--keep", type=float, nargs="+", default=[0.7, 0.5], metavar="SHARE")
    scores = [name for name in SCORES if name != BASELINE]
    parser.add_argument("--by", nargs="+", default=["variance"], choices=scores, metavar="SCORE")
    parser.add_argument("--detector", default="retinanet", help="of configs/quick_start")
    parser.add_argument("--iterations", type=int, default=600, help="default: 600")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "prune", metavar="DIR")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="overrides of the config"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args(argv)
    check_seeds(parser, args.seeds)
    for keep in args.keep:
        if not 0 < keep <= 1:
            parser.error(f"--keep: {keep} is not above 0 and at most 1")
    if len({percent(keep) for keep in args.keep}) < len(args.keep):
        parser.error("--keep: two shares are the same in percent")
    return args


class Trial(ShapesTrial):
    """The trainings of one detector with one seed, on everything and on parts."""

    def measure_whole(self) -> dict:
        """Train on everything."""
        return self._measure(self._whole, Path(self.shapes().json_file))

    def measure_part(self, keep: float, by: str) -> dict:
        """Train on the part of the data that is kept."""
        name = f"{by.replace(' ', '_')}_{keep:g}"
        data = self.folder / f"{name}_data"
        kept = self._keep_highest(keep, data) if by == PUBLISHED else self._prune(keep, by, data)
        return self._measure(self.make_on(name, kept), kept)

    def _measure(self, run: Run, annotations: Path) -> dict:
        if not run.train():
            sys.exit(1)
        objects = len(json.loads(annotations.read_text())["annotations"])
        return {"seed": self.seed, "objects": objects, **run.read()}

    def _prune(self, keep: float, by: str, output: Path) -> Path:
        options = ["--keep", str(keep), "--by", by, "--seed", str(self.seed)]
        command = ["prune", str(self._whole.folder), *options, "--output", str(output)]
        if imbdet(command) != 0:
            sys.exit(1)
        return output / "shapes_train.json"

    def _keep_highest(self, keep: float, output: Path) -> Path:
        tables = (self._whole.folder / f"ledger/{name}.parquet" for name in ("objects", "images"))
        columns = LedgerColumns.of(*map(pq.read_table, tables))
        scores = np.nan_to_num(SCORES["variance"](columns.objects))
        sums = np.bincount(columns.rows, scores, minlength=len(columns.images["seen"]))
        order = np.argsort(-sums, kind="stable")
        left_out = columns.images["image_id"][order[round(keep * len(sums)) :]]
        content = json.loads(Path(self.shapes().json_file).read_text())
        path = output / "shapes_train.json"
        write_results(path, without_images(content, set(left_out)))
        return path

    @property
    def _whole(self) -> Run:
        return self.make("all", ["LEDGER.ENABLED", "True"])


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then print the table."""
    args = parse_args(argv)
    command = " ".join(["python", "benchmarks/prune.py", *sys.argv[1:]])
    kinds = (BASELINE, *args.by, PUBLISHED)
    parts: dict = {percent(keep): {by: [] for by in kinds} for keep in args.keep}
    results: dict = {"command": command, "detector": args.detector, "whole": [], "parts": parts}
    # The learning rate falls after 8 and 9.5 tenths.
    steps = tuple(round(share * args.iterations) for share in (0.8, 0.95))
    schedule = ["SOLVER.MAX_ITER", str(args.iterations), "SOLVER.STEPS", str(steps)]
    for seed in args.seeds:
        trial = Trial(SETTING, args.detector, seed, [*schedule, *args.opts], args.output)
        results["whole"].append(trial.measure_whole())
        for keep in args.keep:
            for by in kinds:
                parts[percent(keep)][by].append(trial.measure_part(keep, by))
    print(format_table(results))
    if args.json:
        write_results(args.json, results)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_program(main, output="the folder of --output"))
