#!/usr/bin/env python
"""How the result depends on a setting: train a study's runs, keep their metrics, draw them.

    python benchmarks/studies.py isr_k carl_bias --parallel 2
    python benchmarks/studies.py --parallel 2                        # all of them

A study is a file of `benchmarks/studies`, which `imbdet search --grid` trains. The metrics of its
runs go to `docs/results/STUDY.json`, and their figure to `docs/results/STUDY.png`: AP by the
setting, of all classes and of the last, which is the rarest. Dots are seeds, joined by a line; of
two settings the second is shown by colours and marks, or both make a grid, of means above the range
of the seeds, if they are choices of samplers.

Runs that are finished are not repeated, a run that was stopped goes on.
"""

import argparse
import csv
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from runs import ROOT, by_choice, read_run

from imbdet.drawing.run_styles import run_points, spread
from imbdet.drawing.style import COLOR_MAP, DPI, STYLE, label_panel, new_figure
from imbdet.files import replacing
from imbdet.programs.processes import wait_for
from imbdet.programs.program import run_program

STUDIES = {path.stem: path for path in sorted((ROOT / "benchmarks" / "studies").glob("*.yaml"))}
# Studies of two settings of the same kind.
GRIDS = ("appended_gt", "sampling_grid")
# Share of the distance from one dose to the next over which the dots of a dose are spread.
_SPREAD = 0.6


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="runs side by side")
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "studies")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results", metavar="DIR")
    args = parser.parse_args(argv)
    args.studies = args.studies or list(STUDIES)
    if unknown := sorted(set(args.studies) - set(STUDIES)):
        parser.error(f"no study {', '.join(unknown)}: choose from {', '.join(STUDIES)}")
    return args


def train(study: str, folder: Path, parallel: int) -> None:
    """Train the runs that are not finished.

    Raises:
        KeyboardInterrupt: the program was stopped.
        SystemExit: a run failed.
    """
    command = [sys.executable, "-m", "imbdet.cli", "search", "--grid"]
    command += ["--space", str(STUDIES[study]), "--output", str(folder)]
    command += ["--parallel", str(parallel)]
    status = wait_for(command)
    if status == 130:
        raise KeyboardInterrupt
    if status != 0:
        sys.exit(status)


def gather(study: str, folder: Path) -> dict:
    """What the runs of a study measured; see :func:`results_table.format_study`."""
    runs = []
    with open(folder / "table.csv", newline="") as file:
        for row in csv.DictReader(file):
            columns = list(row)
            choices = {axis: row[axis] for axis in columns[: columns.index("seed")]}
            runs.append({"choices": choices, "seed": int(row["seed"]), **read_run(row["folder"])})
    question = STUDIES[study].read_text().splitlines()[0].removeprefix("# ")
    command = f"python benchmarks/studies.py {study}"
    return {"command": command, "study": study, "question": question, "runs": runs}


def draw(results: dict) -> Figure:
    """Draw AP, of all classes and of the last."""
    metrics = ["AP", list(results["runs"][0]["val"])[-1]]
    axes = list(results["runs"][0]["choices"])
    draw_panel = _draw_grid if results["study"] in GRIDS else _draw_doses
    groups = by_choice(results["runs"])
    figure = new_figure(height=2.8)
    panels = figure.subplots(1, 2)
    for panel, metric in zip(panels, metrics, strict=True):
        values = {choice: [run["val"][metric] for run in runs] for choice, runs in groups.items()}
        draw_panel(panel, values, axes)
        label_panel(panel, f"{metric} in percent")
    lines, names = panels[0].get_legend_handles_labels()
    if any(names):
        figure.legend(lines, names, title=axes[1], loc="outside right upper")
    return figure


def _draw_doses(
    panel: Axes, values: dict[tuple[str, ...], list[float]], axes: Sequence[str]
) -> None:
    """Draw a dot for each seed and a line over their range: a few seeds make no curve."""
    doses = list(dict.fromkeys(choice[0] for choice in values))
    names = list(dict.fromkeys(choice[1:] for choice in values))
    points = run_points("".join(name) for name in names)
    for i, (name, (label, point)) in enumerate(zip(names, points.items(), strict=True)):
        of_doses = [values[(dose, *name)] for dose in doses]
        places = [x + _SPREAD * spread(i, len(names)) for x in range(len(doses))]
        lows, highs = map(min, of_doses), map(max, of_doses)
        panel.vlines(places, list(lows), list(highs), color=point["color"], linewidth=1.2)
        dots = [(x, y) for x, of_seeds in zip(places, of_doses, strict=True) for y in of_seeds]
        panel.plot(*zip(*dots, strict=True), linestyle="", markersize=4.5, label=label, **point)
    panel.set_xticks(range(len(doses)), doses)
    panel.set_xlabel(axes[0])
    highest = max(max(of_seeds) for of_seeds in values.values())
    panel.set(xlim=(-0.5, len(doses) - 0.5), ylim=(0, 1.05 * highest or 1))
    panel.grid(axis="y")


def _draw_grid(
    panel: Axes, values: dict[tuple[str, ...], list[float]], axes: Sequence[str]
) -> None:
    names = [list(dict.fromkeys(choice[i] for choice in values)) for i in (0, 1)]
    means = [[statistics.mean(values[row, column]) for column in names[1]] for row in names[0]]
    panel.imshow(means, cmap=COLOR_MAP, aspect="auto")
    middle = (min(map(min, means)) + max(map(max, means))) / 2
    for i, row in enumerate(means):
        for j, mean in enumerate(row):
            color = "white" if mean > middle else "black"
            seeds = values[names[0][i], names[1][j]]
            text = f"{mean:.1f}\n{min(seeds):.1f} to {max(seeds):.1f}"
            panel.text(j, i, text, ha="center", va="center", color=color, fontsize=8)
    panel.set_xticks(range(len(names[1])), names[1])
    panel.set_yticks(range(len(names[0])), names[0])
    panel.set_ylabel(axes[0])
    panel.set_xlabel(axes[1])
    panel.spines[:].set_visible(False)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, keep and draw study after study."""
    args = parse_args(argv)
    args.results.mkdir(parents=True, exist_ok=True)
    for study in args.studies:
        folder = args.output / study
        train(study, folder, args.parallel)
        results = gather(study, folder)
        with replacing(args.results / f"{study}.json") as draft:
            draft.write_text(json.dumps(results, indent=1) + "\n")
        with replacing(args.results / f"{study}.png") as draft, mpl.rc_context(STYLE):
            draw(results).savefig(draft, format="png", dpi=DPI)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_program(main, output="the folders of --output and --results"))
