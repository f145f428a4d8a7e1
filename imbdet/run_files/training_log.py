"""The scalars that a training logged, from its ``metrics.json``."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imbdet.untrusted.reading import read_json_lines

# Standard deviation of the smoothing, as a share of a curve's points; it is at least one point.
_SMOOTHING = 0.02


@dataclass(frozen=True, eq=False)
class Curve:
    """A scalar over the training, N points.

    Attributes:
        iterations: (N,) int64, ascending.
        values: (N,), possibly NaN.
    """

    iterations: np.ndarray
    values: np.ndarray

    @property
    def smoothed(self) -> np.ndarray:
        """(N,) Gaussian mean of the finite values nearby; NaN where there are none."""
        width = max(1.0, _SMOOTHING * len(self.values))
        reach = min(int(3 * width), len(self.values) - 1)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
        is_finite = np.isfinite(self.values)
        values = np.where(is_finite, self.values, 0)
        total, weight = (
            np.convolve(x, kernel)[reach : reach + len(values)] for x in (values, is_finite)
        )
        unknown = np.full(len(values), np.nan)
        mean: np.ndarray = np.divide(total, weight, out=unknown, where=weight > 0)
        return mean


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """Scalars that a training logged.

    Attributes:
        curves: curves by the name of their scalar, such as "total_loss" or "bbox/AP".
        num_damaged: number of lines that cannot be read, such as the last one of a killed run.
    """

    curves: Mapping[str, Curve]
    num_damaged: int

    @property
    def iterations_done(self) -> int:
        """Number of iterations up to the last one that was logged."""
        times = self.curves.get("time")
        return int(times.iterations[-1]) + 1 if times else 0

    @property
    def seconds(self) -> float:
        """Time of the iterations: each logged median stands for those since the one before."""
        times = self.curves.get("time")
        return float(np.diff(times.iterations, prepend=-1) @ times.values) if times else 0.0


def read_training_log(path: Path) -> TrainingLog:
    """Read a ``metrics.json``.

    A run that was resumed from a checkpoint logs some iterations again: the later line counts.

    Raises:
        OSError: the file cannot be read.
    """
    lines, num_damaged = read_json_lines(path)
    points: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for line in lines:
        iteration = line.get("iteration")
        if isinstance(iteration, int):
            for name, value in line.items():
                if isinstance(value, int | float) and name != "iteration":
                    points[name][iteration] = value
    return TrainingLog({name: _curve(found) for name, found in points.items()}, num_damaged)


def _curve(points: Mapping[int, float]) -> Curve:
    iterations = sorted(points)
    return Curve(np.array(iterations), np.array([points[i] for i in iterations], dtype=float))
