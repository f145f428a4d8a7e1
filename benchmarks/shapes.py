#!/usr/bin/env python
"""Train methods on the synthetic shapes, several seeds each, and put their results in a table.

A method is the name of a piece in `configs/`, with or without what stands before the first "-", or
several joined by "+": `AP+GIoU` trains with `Loss-AP.yaml` and `Loss-GIoU.yaml`. "plain" is the
detector alone. For instance, the ranking losses beside focal loss with the demo's schedule:

    python benchmarks/shapes.py retinanet GIoU AP+GIoU aLRP RankSort --seeds 1 2 3

Runs that are finished are not repeated, a run that was stopped goes on.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector", choices=["retinanet", "faster_rcnn"])
    parser.add_argument("methods", nargs="+", metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED")
    parser.add_argument("--iterations", type=int, help="instead of the demo's schedule")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "shapes")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="overrides of the config"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    return parser.parse_args()


def find_pieces(method: str) -> list[Path]:
    """The config files of a method."""
    if method == "plain":
        return []
    pieces = []
    for name in method.split("+"):
        found = [*CONFIGS.glob(f"{name}.yaml"), *CONFIGS.glob(f"*-{name}.yaml")]
        if not found:
            sys.exit(f"error: there is no piece '{name}' in {CONFIGS}")
        pieces.append(found[0])
    return pieces


def train(detector: str, pieces: list[Path], overrides: list[str], folder: Path) -> None:
    """Train and evaluate in a process of its own, unless that is done."""
    if (folder / "inference" / "shapes_val" / "metrics.json").exists():
        return
    files = [CONFIGS / "quick_start" / f"{detector}.yaml", *pieces]
    command = [sys.executable, str(ROOT / "train_net.py"), "--resume"]
    for file in files:
        command += ["--config-file", str(file)]
    command += ["OUTPUT_DIR", str(folder), "TEST.NUM_PICTURES", "0", *overrides]
    print(f"training {folder}", file=sys.stderr, flush=True)
    result = subprocess.run(command, stdout=subprocess.DEVNULL)
    if result.returncode == 130:
        raise KeyboardInterrupt
    if result.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed")


def read_run(folder: Path) -> dict[str, float]:
    """Metrics, seconds per iteration, and the number of logged losses that are not finite."""
    result = json.loads((folder / "inference" / "shapes_val" / "metrics.json").read_text())
    metrics = result["metrics"]["bbox"]
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    steps = [line for line in lines if "total_loss" in line]
    losses = [v for line in steps for k, v in line.items() if "loss" in k]
    return {
        **{name: metrics["overall"][name] for name in ("AP", "AP50", "AP75")},
        **{f"AP {name}": values["AP"] for name, values in metrics["per_class"].items()},
        "s/iter": statistics.median(line["time"] for line in steps),
        "not finite": sum(not math.isfinite(loss) for loss in losses),
    }


def summarize(runs: list[dict[str, float]]) -> Iterator[str]:
    """Mean and, of several runs, standard deviation of each column."""
    for name in runs[0]:
        values = [run[name] for run in runs]
        if name == "not finite":
            yield str(sum(values))
            continue
        digits = 2 if name == "s/iter" else 1
        text = f"{statistics.mean(values):.{digits}f}"
        yield f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


def main() -> None:
    """Train what is not trained yet, then print the table."""
    args = parse_args()
    methods = {method: find_pieces(method) for method in args.methods}
    schedule = "demo" if args.iterations is None else f"{args.iterations} iterations"
    folder = args.output / args.detector / schedule.replace(" ", "_")
    overrides = list(args.opts)
    if args.iterations is not None:
        overrides += ["SOLVER.MAX_ITER", str(args.iterations), "SOLVER.STEPS", "()"]
    results: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
    # Seed after seed: a table can be read early, and the machine's mood spreads over all methods.
    for seed in args.seeds:
        for method, pieces in methods.items():
            run = folder / method / f"seed_{seed}"
            train(args.detector, pieces, [*overrides, "SEED", str(seed)], run)
            results[method].append(read_run(run))
    rows = [[method, *summarize(runs)] for method, runs in results.items()]
    print(f"{args.detector}, {schedule}, seeds {', '.join(map(str, args.seeds))}:")
    print(tabulate(rows, headers=["method", *next(iter(results.values()))[0]]))
    if args.json:
        args.json.write_text(json.dumps({"command": sys.argv, "results": results}, indent=2))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
