"""Do the scores tell how well the boxes fit?

Scores decide which of several boxes survives NMS and in which order AP takes them. A detector whose
scores follow the IoU keeps the better boxes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imbdet.analysis.columns import NothingToShow
from imbdet.evaluation.matches import ClassMatches

EDGES = np.linspace(0, 1, 26)
# From this IoU on a detection is on its object.
LOCALISED = 0.5


@dataclass(frozen=True)
class ScoreIoU:
    """Detections by score and by IoU with the nearest object of their class, crowds aside.

    Attributes:
        counts: by run, the baseline first, (25, 25) int64; scores are rows, IoUs columns.
        correlations: by run, Spearman's rank correlation over all detections, and over those with
            an IoU of 0.5 or more; NaN where it is not defined.
    """

    counts: Mapping[str, np.ndarray]
    correlations: Mapping[str, tuple[float, float]]

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each bin that is not empty."""
        parts = []
        for run, counts in self.counts.items():
            i, j = np.nonzero(counts)
            ends = {
                "score_from": EDGES[i],
                "score_to": EDGES[i + 1],
                "iou_from": EDGES[j],
                "iou_to": EDGES[j + 1],
            }
            parts.append(
                pa.table({"run": np.repeat(run, len(i)), **ends, "detections": counts[i, j]})
            )
        return pa.concat_tables(parts)

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        parts = [
            f"{run} {number(every)} / {number(localised)}"
            for run, (every, localised) in self.correlations.items()
        ]
        return (
            "Rank correlation of score and IoU over all detections / over those with an IoU of "
            f"{LOCALISED} or more: {'; '.join(parts)}."
        )


def score_iou(runs: Mapping[str, Mapping[str, ClassMatches]]) -> ScoreIoU:
    """Count the detections of all classes.

    Args:
        runs: by run, the baseline first, the matches of each class.

    Raises:
        NothingToShow: no run has detections.
    """
    counts, correlations = {}, {}
    for run, by_class in runs.items():
        scores = np.concatenate([found.scores for found in by_class.values()])
        ious = np.concatenate([found.ious for found in by_class.values()])
        counts[run] = np.histogram2d(scores.clip(0, 1), ious, [EDGES, EDGES])[0].astype(np.int64)
        is_localised = ious >= LOCALISED
        correlations[run] = (
            rank_correlation(scores, ious),
            rank_correlation(scores[is_localised], ious[is_localised]),
        )
    if not any(of_run.any() for of_run in counts.values()):
        raise NothingToShow("no run has detections.")
    return ScoreIoU(counts, correlations)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, of two (n,); equal values share their mean rank. NaN if all are equal."""
    ranks = [_mean_ranks(values) for values in (first, second)]
    if len(first) < 2 or any(np.ptp(values) == 0 for values in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    low, high = (
        pc.rank(pa.array(values), "ascending", tiebreaker=end).to_numpy() for end in ("min", "max")
    )
    return (low + high) / 2


def number(value: float) -> str:
    """A correlation to read; a dash for NaN."""
    return "-" if np.isnan(value) else f"{value:.2f}"
