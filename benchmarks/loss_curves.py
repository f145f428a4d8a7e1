#!/usr/bin/env python
"""Record how the AP of six losses grows in trainings on shapes: an hour on two CPU cores.

    python benchmarks/loss_curves.py --parallel 2

trains the grid of examples/search_losses.yaml with an evaluation every 50 iterations, and writes
docs/results/shapes_curves.json, which benchmarks/search.py plays searches from. Trainings that are
finished are not repeated.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from results_table import write_results
from runs import ROOT

from imbdet.cli import main as run_imbdet
from imbdet.config import load_config
from imbdet.programs.program import run_program
from imbdet.search.grid import grid_runs
from imbdet.search.space import read_space
from imbdet.untrusted.reading import read_json_lines

SPACE = ROOT / "examples" / "search_losses.yaml"
PERIOD = 50


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parallel", type=int, default=1, metavar="N")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "loss_curves")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "docs" / "results" / "shapes_curves.json",
        metavar="FILE",
        help="where the curves are written to",
    )
    return parser.parse_args(argv)


def read_curve(metrics: Path, end: int) -> dict[int, float]:
    """AP of the validation split in percent, by the iterations after which it was computed.

    Args:
        metrics: metrics.json of the training; the last evaluation has the iteration after the end.
        end: number of iterations.
    """
    lines, _ = read_json_lines(metrics)
    return {min(line["iteration"] + 1, end): line["bbox/AP"] for line in lines if "bbox/AP" in line}


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is not trained yet, and write the curves."""
    args = parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "space.yaml"
    content = yaml.safe_load(SPACE.read_text())
    content["overrides"]["TEST.EVAL_PERIOD"] = PERIOD
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    words = ["--space", str(path), "--output", str(args.output), "--parallel", str(args.parallel)]
    if status := run_imbdet(["search", "--grid", *words]):
        return status
    curves: dict[str, dict[int, dict[int, float]]] = {}
    for run in grid_runs(read_space(path), args.output):
        end = load_config(str(run.folder / "config.yaml")).SOLVER.MAX_ITER
        of_method = curves.setdefault(run.arm.method, {})
        of_method[run.seed] = read_curve(run.folder / "metrics.json", end)
    command = " ".join(["python", "benchmarks/loss_curves.py", *sys.argv[1:]])
    write_results(args.json, {"command": command, "curves": curves})
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_program(main, output="the folder of --output"))
