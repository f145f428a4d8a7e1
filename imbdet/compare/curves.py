"""Losses and AP over the training."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from imbdet.analysis.columns import NothingToShow, ratio
from imbdet.compare.runs import Run
from imbdet.reading import read_json_lines

AP = "AP"
# The width (standard deviation) of the smoothing: a share of a curve's points, and at least 1.
_SMOOTHING = 0.02


@dataclass(frozen=True, eq=False)
class Curve:
    """A scalar over the training, N points.

    Attributes:
        iterations: (N,) int64, ascending.
        values: (N,), perhaps NaN.
    """

    iterations: np.ndarray
    values: np.ndarray

    @property
    def smoothed(self) -> np.ndarray:
        """(N,) Gaussian mean of the finite values around; NaN where there are none."""
        width = max(1.0, _SMOOTHING * len(self.values))
        reach = min(int(3 * width), len(self.values) - 1)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
        is_finite = np.isfinite(self.values)
        values = np.where(is_finite, self.values, 0)
        total, weight = (
            np.convolve(x, kernel)[reach : reach + len(values)] for x in (values, is_finite)
        )
        return ratio(total, weight)


@dataclass(frozen=True)
class Curves:
    """What the runs logged.

    Attributes:
        curves: by scalar, "total_loss", the other losses and "AP" (percent), and by run; runs that
            did not log a scalar are not there.
        silent: runs without any curve.
    """

    curves: Mapping[str, Mapping[str, Curve]]
    silent: Sequence[str]

    @property
    def runs(self) -> list[str]:
        """Those with curves."""
        return list(dict.fromkeys(run for of_runs in self.curves.values() for run in of_runs))

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each point."""
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
        """See :class:`Numbers`."""
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


def read_curves(runs: Sequence[Run], dataset_name: str) -> Curves:
    """The losses and the AP of all runs.

    Args:
        runs: the baseline first.
        dataset_name: whose AP is read.

    Raises:
        NothingToShow: no run has any.
    """
    curves: defaultdict[str, dict[str, Curve]] = defaultdict(dict)
    for run in runs:
        for scalar, curve in _read(run.folder / "metrics.json", dataset_name).items():
            curves[scalar][run.name] = curve
    if not curves:
        raise NothingToShow("no run has curves: metrics.json is missing or holds no losses.")
    ordered = dict(sorted(curves.items(), key=lambda item: _position(item[0])))
    silent = [run.name for run in runs if not any(run.name in c for c in curves.values())]
    return Curves(ordered, silent)


def _position(scalar: str) -> tuple[bool, bool, str]:
    """The total loss first, AP last."""
    return scalar == AP, scalar != "total_loss", scalar


def _read(path: Path, dataset_name: str) -> dict[str, Curve]:
    points: defaultdict[str, dict[int, float]] = defaultdict(dict)
    try:
        lines, _ = read_json_lines(path)  # the last line of a killed run is damaged
    except OSError:
        return {}
    for entries in lines:
        iteration = entries.get("iteration")
        if not isinstance(iteration, int):
            continue
        for key, value in entries.items():
            scalar = _scalar(key, dataset_name)
            if scalar and isinstance(value, int | float):
                # A resumed run logs some iterations again: the last time counts.
                points[scalar][iteration] = value
    return {scalar: _curve(of_scalar) for scalar, of_scalar in points.items()}


def _curve(points: Mapping[int, float]) -> Curve:
    iterations = sorted(points)
    return Curve(np.array(iterations), np.array([points[i] for i in iterations], dtype=float))


def _scalar(key: str, dataset_name: str) -> str | None:
    # With several test sets detectron2 puts the name first.
    if key in ("bbox/AP", f"{dataset_name}/bbox/AP"):
        return AP
    return key if key == "total_loss" or key.startswith("loss_") else None
