#!/usr/bin/env python
"""Whether `imbdet forecast` tells which rules lead to a higher AP: a study on shapes.

    python benchmarks/forecast.py --seeds 1 2 3 --json docs/results/forecast.json

For each seed the plain detector is trained for a while, and from its checkpoint all rules are
forecast, by the images of `shapes_test`. Then each rule is trained from the start to the end of the
schedule and evaluated on `shapes_val`. All have GIoU loss for the boxes, since a forecast looks at
classification alone. Printed is the table of the trainings, then Spearman's rank correlation, over
the rules, of the mean forecast and the mean AP, which is that of the gains as well. Its interval of
95 % is that of a bootstrap over rules and seeds. What is to predict AP was chosen before: the
alignment, the mean over both validation losses. The correlations of the losses by themselves are
there to learn from.

What is finished is not repeated, and a training that was stopped goes on. Several commands with
different seeds can share the work; one with all seeds then gathers it.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from methods import Benchmark
from results_table import check_seeds, format_table, write_results
from runs import ROOT, SETTINGS, Run, find_pieces
from scipy.stats import spearmanr

from imbdet.cli import main as imbdet
from imbdet.errors import UserError
from imbdet.programs.program import run_program

DETECTOR, SETTING = "retinanet", "small_shapes"
PLAIN = "GIoU"
LOSSES = ("CE", "BalancedCE", "QFL", "VFL", "GHM-C", "EFL", "EQFL", "AP", "AUC", "DR")
RANKING_PIECES = ("aLRP", "RankSort")  # with GIoU loss by themselves
ASSIGNERS = ("ATSS", "DDOD", "FCOS", "SimOTA", "TAL", "PAA", "SoftLabel")
ONE_TO_FEW = ("Hungarian", "TopkHungarian")
OTHERS = ("OHEM-Dense", "Weighting-Soft", "Assigner-ATSS+QFL", "Assigner-TAL+QFL")
RULES = (
    PLAIN,
    *(f"{loss}+{PLAIN}" for loss in LOSSES),
    *RANKING_PIECES,
    *(f"Assigner-{name}+{PLAIN}" for name in (*ASSIGNERS, *ONE_TO_FEW)),
    *(f"{name}+{PLAIN}" for name in OTHERS),
)
PREDICTORS = ("alignment", "likelihood", "ranking")
NUM_RESAMPLES = 10_000


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", nargs="+", default=list(RULES), metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED")
    parser.add_argument("--iterations", type=int, help="instead of the config's schedule")
    parser.add_argument(
        "--early", type=int, default=150, help="iterations of the checkpoint (default: 150)"
    )
    parser.add_argument("--num-images", type=int, default=200, help="of a forecast (default: 200)")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "forecast")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="overrides of the config"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args(argv)
    check_seeds(parser, args.seeds)
    return args


def train(args: argparse.Namespace) -> dict:
    """Train all rules; see ``methods.Benchmark.run``."""
    benchmark = argparse.Namespace(
        detector=DETECTOR,
        methods=args.rules,
        setting=SETTING,
        seeds=args.seeds,
        iterations=args.iterations,
        learning_rates=None,
        choice_iterations=None,
        test=False,
        output=args.output / "trainings",
        opts=args.opts,
    )
    return Benchmark(benchmark).run()


def forecast(args: argparse.Namespace, seed: int) -> dict[str, dict]:
    """The forecasts from the checkpoint of a seed, by rule; see ``imbdet.forecast``."""
    folder = args.output / f"early_{args.early}_seed_{seed}"
    configs = SETTINGS[SETTING].files(DETECTOR)
    opts = [*args.opts, "SEED", str(seed)]
    schedule = ["SOLVER.MAX_ITER", str(args.early), "SOLVER.STEPS", "()"]
    files = [*configs, *find_pieces(args.rules[0])]
    run = Run(SETTINGS[SETTING], files, [*opts, *schedule], folder)
    if not run.train():
        sys.exit(1)
    found = folder / "forecast" / "forecast.json"
    if not found.exists():
        space = folder / "rules.yaml"
        pieces = {rule: [str(piece) for piece in find_pieces(rule)] for rule in args.rules}
        space.write_text(yaml.safe_dump({"axes": {"rule": pieces}}, sort_keys=False))
        command = ["forecast", "--space", str(space)]
        for config in configs:
            command += ["--config-file", str(config)]
        command += ["--weights", str(folder / "model_final.pth"), "--output", str(found.parent)]
        command += ["--num-images", str(args.num_images)]
        if imbdet([*command, *opts, "DATASETS.TEST", "('shapes_test',)"]) != 0:
            sys.exit(1)
    return {rule["rule"]: rule for rule in json.loads(found.read_text())["rules"]}


def predictions_of(rule: Mapping) -> dict[str, float | None]:
    """The values of ``PREDICTORS`` in the forecast of a rule; None without a gradient."""
    of_losses = {loss: one["value"] for loss, one in rule["by_loss"].items()}
    return {"alignment": rule["alignment"]["value"], **of_losses}


def correlate(forecasts: np.ndarray, aps: np.ndarray) -> dict[str, float]:
    """Spearman's correlation over the rules, with its interval.

    Args:
        forecasts: (R, S) forecast of each rule from the checkpoint of each seed.
        aps: (R, S) AP of the trainings.

    Returns:
        "spearman", and "low" and "high", the ends of the interval of 95 %.

    Raises:
        UserError: all rules have equal values.
    """
    rng = np.random.default_rng(0)
    num_rules, num_seeds = aps.shape
    values = []
    for _ in range(NUM_RESAMPLES):
        rules = rng.integers(num_rules, size=num_rules)
        seeds = rng.integers(num_seeds, size=num_seeds)
        drawn = [part[rules][:, seeds].mean(axis=1) for part in (forecasts, aps)]
        if all(np.ptp(part) > 0 for part in drawn):  # otherwise there is no order
            values.append(spearmanr(*drawn).statistic)
    if not values:
        raise UserError(
            "All rules have the same AP, or the same forecast: there is no order to correlate. "
            "Train longer, or choose other rules."
        )
    low, high = np.quantile(values, [0.025, 0.975])
    value = spearmanr(forecasts.mean(axis=1), aps.mean(axis=1)).statistic
    return {"spearman": float(value), "low": float(low), "high": float(high)}


def gather(trainings: dict, forecasts: Mapping[int, Mapping[str, Mapping]]) -> dict:
    """Combine the trainings with the forecasts and the correlations.

    Args:
        trainings: see :func:`train`.
        forecasts: forecasts by seed and rule; those without a gradient are not correlated.
    """
    methods = trainings["methods"]
    for name, result in methods.items():
        for run in result["runs"]:
            run["forecast"] = predictions_of(forecasts[run["seed"]][name])
    known = [
        result["runs"]
        for result in methods.values()
        if all(run["forecast"]["alignment"] is not None for run in result["runs"])
    ]
    aps = np.array([[run["val"]["AP"] for run in runs] for runs in known])
    correlations = {
        predictor: correlate(
            np.array([[run["forecast"][predictor] for run in runs] for runs in known]), aps
        )
        for predictor in PREDICTORS
    }
    command = " ".join(["python", "benchmarks/forecast.py", *sys.argv[1:]])
    return {**trainings, "command": command, "rules": len(known), "correlations": correlations}


def main(argv: Sequence[str] | None = None) -> None:
    """Forecast, train, then print the tables."""
    args = parse_args(argv)
    forecasts = {seed: forecast(args, seed) for seed in args.seeds}
    results = gather(train(args), forecasts)
    print(format_table(results))
    if args.json:
        write_results(args.json, results)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_program(main, output="the folder of --output"))
