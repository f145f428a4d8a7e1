#!/usr/bin/env python
"""Train methods on one of several data sets, several seeds each, and put their results in a table.

A method is the name of a piece in `configs/`, with or without what stands before the first "-", or
several joined by "+": `AP+GIoU` trains with `Loss-AP.yaml` and `Loss-GIoU.yaml`. "plain" is the
detector alone. The first method is what the others are compared with. For instance, the ranking
losses on shapes with the demo's schedule:

    python benchmarks/methods.py retinanet GIoU AP+GIoU aLRP RankSort --seeds 1 2 3

And on BCCD, with the best of three learning rates for each, by the validation split, in a short
training; then trainings with three seeds, whose last checkpoints see the test split once:

    python benchmarks/methods.py retinanet plain GHM DR --setting bccd --seeds 1 2 3 \\
        --learning-rates 0.0005 0.001 0.002 --test --json docs/results/bccd_retinanet.json

Runs that are finished are not repeated, a run that was stopped goes on.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from results_table import check_seeds, format_table, write_results
from runs import ROOT, SETTINGS, Run, find_pieces

from imbdet.config import load_config
from imbdet.programs.program import run_program


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector", choices=["retinanet", "faster_rcnn"])
    parser.add_argument("methods", nargs="+", metavar="METHOD")
    parser.add_argument("--setting", choices=list(SETTINGS), default="shapes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED")
    parser.add_argument("--iterations", type=int, help="instead of the config's schedule")
    parser.add_argument(
        "--learning-rates", type=float, nargs="+", metavar="LR", help="choose one for each method"
    )
    parser.add_argument(
        "--choice-iterations", type=int, default=300, help="of the trainings for that choice"
    )
    parser.add_argument("--test", action="store_true", help="also look at the test split")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "methods")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="overrides of the config"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args(argv)
    if args.test and SETTINGS[args.setting].test is None:
        parser.error(f"--test: the setting '{args.setting}' has no test split")
    check_seeds(parser, args.seeds)
    return args


class Benchmark:
    """The trainings of one command line."""

    def __init__(self, args: argparse.Namespace):
        """Find the config files; nothing is trained yet."""
        self.args = args
        self.pieces = {method: find_pieces(method) for method in args.methods}

    def run(self) -> dict:
        """Train what is not trained yet; see :func:`format_table` for the results."""
        methods = {method: self._choose_learning_rate(method) for method in self.pieces}
        # Seed after seed: a table can be read early, and other load on the machine affects all.
        for seed in self.args.seeds:
            for method, result in methods.items():
                run = self._make(method, seed, self.args.iterations, result.get("learning_rate"))
                if not run.train() or (self.args.test and not run.test()):
                    sys.exit(1)
                measured = run.read(with_test=self.args.test)
                result.setdefault("runs", []).append({"seed": seed, **measured})
        return {
            "command": " ".join(["python", "benchmarks/methods.py", *sys.argv[1:]]),
            "detector": self.args.detector,
            "setting": self.args.setting,
            "iterations": self.args.iterations,
            "choice_iterations": self.args.choice_iterations,
            "methods": methods,
        }

    def _choose_learning_rate(self, method: str) -> dict:
        """The best rate by the validation AP of the first seed, and the AP of each; or nothing.

        A training that diverges and so never ends has an AP of 0.
        """
        choice = {}
        for rate in self.args.learning_rates or []:
            run = self._make(method, self.args.seeds[0], self.args.choice_iterations, rate)
            choice[rate] = run.read()["val"]["AP"] if run.train() else 0.0
        return {"learning_rate": max(choice, key=choice.get), "choice": choice} if choice else {}

    def _make(self, method: str, seed: int, iterations: int | None, rate: float | None) -> Run:
        args, setting = self.args, SETTINGS[self.args.setting]
        overrides = [*args.opts, "SEED", str(seed)]
        parts = ["config's schedule" if iterations is None else f"{iterations} iterations", method]
        files = [*setting.files(args.detector), *self.pieces[method]]
        if iterations is not None:
            # The learning rate falls where it does in the config's schedule, relative to the whole.
            schedule = load_config(*map(str, files)).SOLVER
            steps = {round(step * iterations / schedule.MAX_ITER) for step in schedule.STEPS}
            steps = tuple(sorted(steps - {0, iterations}))  # in a short one some coincide
            overrides += ["SOLVER.MAX_ITER", str(iterations), "SOLVER.STEPS", str(steps)]
        if rate is not None:
            overrides += ["SOLVER.BASE_LR", str(rate)]
            parts.append(f"learning rate {rate}")
        parts.append(f"seed {seed}")
        names = [part.replace(" ", "_").replace("'", "") for part in parts]
        folder = args.output.joinpath(args.setting, args.detector, *names)
        return Run(setting, files, overrides, folder)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then print the table."""
    args = parse_args(argv)
    results = Benchmark(args).run()
    print(format_table(results))
    if args.json:
        write_results(args.json, results)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_program(main, output="the folder of --output"))
