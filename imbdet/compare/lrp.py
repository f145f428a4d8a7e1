"""Optimal LRP of several runs; see :mod:`imbdet.evaluation.lrp`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imbdet.compare.bootstrap import nan_mean
from imbdet.evaluation.lrp import OptimalLRP, optimal_lrp
from imbdet.evaluation.matches import ClassMatches

COMPONENTS = {"olrp": "oLRP", "localisation": "oLRP Loc", "fp": "oLRP FP", "fn": "oLRP FN"}


@dataclass(frozen=True)
class LRPTable:
    """Optimal LRP of the classes that have objects.

    Attributes:
        classes: their names, the one with the baseline's highest error first.
        values: by run, the baseline first, of each class.
    """

    classes: Sequence[str]
    values: Mapping[str, Sequence[OptimalLRP]]

    def means(self, run: str) -> dict[str, float]:
        """The mean of each component over the classes where it is defined."""
        return {
            name: float(nan_mean(np.array([getattr(v, name) for v in self.values[run]]), axis=0))
            for name in COMPONENTS
        }

    def thresholds(self, run: str) -> dict[str, float]:
        """The best threshold of each class."""
        values = (value.threshold for value in self.values[run])
        return dict(zip(self.classes, values, strict=True))

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each run and class, and for the mean (class null)."""
        rows = []
        for run, values in self.values.items():
            rows.append({"run": run, "class": None, **self.means(run), "threshold": None})
            for name, value in zip(self.classes, values, strict=True):
                rows.append({"run": run, "class": name, **vars(value)})
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        parts = []
        for run in self.values:
            means = self.means(run)
            numbers = " / ".join(
                "-" if np.isnan(means[name]) else f"{means[name]:.1f}" for name in COMPONENTS
            )
            parts.append(f"{run} {numbers}")
        return f"{' / '.join(COMPONENTS.values())}, lower is better: {'; '.join(parts)}."


def lrp_table(runs: Mapping[str, Mapping[str, ClassMatches]]) -> LRPTable:
    """Optimal LRP of all classes.

    Args:
        runs: by run, the baseline first, the matches of each class, of which some have objects.
    """
    first = next(iter(runs.values()))
    values = {
        run: {name: optimal_lrp(of_run[name]) for name in first if first[name].num_objects[0].any()}
        for run, of_run in runs.items()
    }
    baseline = next(iter(values.values()))
    classes = sorted(baseline, key=lambda name: -baseline[name].olrp)
    return LRPTable(
        classes, {run: [of_run[name] for name in classes] for run, of_run in values.items()}
    )
