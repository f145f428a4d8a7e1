"""Losses and AP over the training."""

import contextlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imbdet.drawing.run_styles import add_legend, run_lines
from imbdet.drawing.style import label_panel, new_figure
from imbdet.figures.study import NothingToShow, Study
from imbdet.run_files.training_log import Curve, read_training_log

_NUM_COLUMNS = 3

AP = "AP"


@dataclass(frozen=True)
class TrainingCurves(Study):
    """Curves that the runs logged.

    Attributes:
        curves: curves by scalar ("total_loss", the other losses and "AP" in percent) and by run;
            runs that did not log a scalar are left out.
        silent: runs without any curve.
    """

    name = "curves"
    title = "Training"
    caption = (
        "The losses are smoothed, with the raw values faint behind them. Losses of different "
        "kinds have different scales: compare AP."
    )

    curves: Mapping[str, Mapping[str, Curve]]
    silent: Sequence[str]

    @property
    def runs(self) -> list[str]:
        """Runs with curves."""
        return list(dict.fromkeys(run for of_runs in self.curves.values() for run in of_runs))

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each point."""
        parts = [
            pa.table(
                {
                    "scalar": [scalar] * len(curve.values),
                    "run": [run] * len(curve.values),
                    "iteration": curve.iterations,
                    "value": curve.values,
                    "smoothed": curve.smoothed,
                }
            )
            for scalar, of_runs in self.curves.items()
            for run, curve in of_runs.items()
        ]
        return pa.concat_tables(parts)

    def sentence(self) -> str:
        """See :class:`Study`."""
        losses = self.curves.get("total_loss", {})
        ends = [f"{run} {curve.smoothed[-1]:.3g}" for run, curve in losses.items()]
        parts = []
        if ends:
            parts.append(
                f"Total losses at the end (smoothed): {', '.join(ends)}. Do not compare those of "
                "different kinds of losses: their scales differ."
            )
        parts += [
            f"{scalar} of {run} is not finite at iteration {curve.iterations[-1]}, its last."
            for scalar, of_runs in self.curves.items()
            for run, curve in of_runs.items()
            if not math.isfinite(curve.values[-1])
        ]
        parts += [f"{run} has no curves." for run in self.silent]
        return " ".join(parts)

    def draw(self) -> Figure:
        """The smoothed curves, with the raw ones faint behind them."""
        scalars, runs = list(self.curves), self.runs
        num_columns = min(_NUM_COLUMNS, len(scalars))
        num_rows = -(-len(scalars) // num_columns)
        figure = new_figure(2.1 * num_rows + 0.4)
        panels = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
        last = max(c.iterations[-1] for of_runs in self.curves.values() for c in of_runs.values())
        lines = run_lines(runs)
        for axes, scalar in zip(panels, scalars, strict=False):
            _draw_panel(axes, self.curves[scalar], lines, is_exact=scalar == AP)
            label_panel(axes, "AP in percent" if scalar == AP else scalar)
            axes.set(xlabel="iteration", xlim=(0, 1.03 * last + 1))
            axes.grid()
        for axes in panels[len(scalars) :]:
            axes.set_axis_off()
        add_legend(figure, {run: Line2D([], [], **line) for run, line in lines.items()})
        return figure


def training_curves(logs: Mapping[str, Path], dataset_name: str) -> TrainingCurves:
    """The losses and the AP of all runs.

    Args:
        logs: the ``metrics.json`` of each run, the baseline first.
        dataset_name: name of the data set whose AP is read.

    Raises:
        NothingToShow: no run has curves.
    """
    curves: defaultdict[str, dict[str, Curve]] = defaultdict(dict)
    for run, path in logs.items():
        with contextlib.suppress(OSError):  # then the run is silent
            for name, curve in read_training_log(path).curves.items():
                if scalar := _scalar(name, dataset_name):
                    curves[scalar][run] = curve
    if not curves:
        raise NothingToShow("no run has curves: metrics.json is missing or holds no losses.")
    ordered = dict(sorted(curves.items(), key=lambda item: _position(item[0])))
    silent = [run for run in logs if not any(run in of_runs for of_runs in curves.values())]
    return TrainingCurves(ordered, silent)


def _position(scalar: str) -> tuple[bool, bool, str]:
    """The key of the order: the total loss first, AP last."""
    return scalar == AP, scalar != "total_loss", scalar


def _scalar(key: str, dataset_name: str) -> str | None:
    # With several test sets detectron2 puts the name first.
    if key in ("bbox/AP", f"{dataset_name}/bbox/AP"):
        return AP
    return key if key == "total_loss" or key.startswith("loss_") else None


def _draw_panel(
    axes: Axes, curves: Mapping[str, Curve], lines: Mapping[str, Any], *, is_exact: bool
) -> None:
    for run, curve in curves.items():
        if is_exact:  # few points, which need no smoothing
            axes.plot(curve.iterations, curve.values, marker="o", markersize=4, **lines[run])
            continue
        color = lines[run]["color"]
        axes.plot(curve.iterations, curve.values, color=color, alpha=0.3, linewidth=0.8)
        axes.plot(curve.iterations, curve.smoothed, **lines[run])
