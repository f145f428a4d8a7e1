"""Optimal localisation recall precision: the error at the best threshold of each class.

Oksuz et al., "Localization Recall Precision (LRP): A New Performance Metric for Object Detection",
ECCV 2018, https://arxiv.org/abs/1807.01696, and "One Metric to Measure them All", TPAMI 2021,
https://arxiv.org/abs/2011.10772. AP does not say at which score to use a detector, nor how well its
boxes fit beyond the IoU thresholds; LRP does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from imbdet.compare.bootstrap import nan_mean
from imbdet.compare.matches import ClassMatches

# IoU from which a detection is right; the first of the thresholds of `ClassMatches`.
IOU_THRESHOLD = 0.5
COMPONENTS = {"olrp": "oLRP", "localisation": "oLRP Loc", "fp": "oLRP FP", "fn": "oLRP FN"}


@dataclass(frozen=True)
class OptimalLRP:
    """The lowest error over all score thresholds, in percent; lower is better.

    Attributes:
        olrp: the whole error: 100 if no threshold gets anything right that helps.
        localisation: mean 1 - IoU of the right detections; NaN of none.
        fp: share of wrong detections (1 - precision); NaN where nothing is detected.
        fn: share of missed objects (1 - recall).
        threshold: detections with this score or more are kept; NaN if it is best to keep none.
    """

    olrp: float
    localisation: float
    fp: float
    fn: float
    threshold: float


def optimal_lrp(matches: ClassMatches) -> OptimalLRP:
    """Optimal LRP of a class; NaN without objects. Of equally good thresholds the highest counts.

    LRP = (sum of (1 - IoU) / (1 - 0.5) over the right detections + wrong detections + missed
    objects) / (right + wrong + missed).
    """
    num_objects = int(matches.num_objects[0].sum())
    if not num_objects:
        return OptimalLRP(*[np.nan] * len(fields(OptimalLRP)))
    rows = matches.is_counted[0, 0]
    scores, is_correct = matches.scores[rows], matches.is_correct[0, 0, rows]
    num_right, num_wrong = is_correct.cumsum(), (~is_correct).cumsum()
    misfit = np.where(is_correct, 1 - matches.match_ious[rows], 0).cumsum()
    errors = (misfit / (1 - IOU_THRESHOLD) + num_wrong + num_objects - num_right) / (
        num_wrong + num_objects
    )
    # Detections of equal score are kept or dropped together.
    is_last = np.diff(scores, append=-np.inf) != 0
    errors[~is_last] = np.inf
    best = int(np.argmin(errors)) if len(errors) else -1
    if best < 0 or errors[best] >= 1:  # the error of keeping none
        return OptimalLRP(100.0, np.nan, np.nan, 100.0, np.nan)
    right, wrong = int(num_right[best]), int(num_wrong[best])
    return OptimalLRP(
        olrp=100 * float(errors[best]),
        localisation=100 * float(misfit[best] / right),
        fp=100 * wrong / (right + wrong),
        fn=100 * (num_objects - right) / num_objects,
        threshold=float(scores[best]),
    )


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
