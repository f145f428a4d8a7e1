"""Mean scores of candidates in bins of another value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from imbdet.drawing.run_styles import run_lines
from imbdet.drawing.style import short
from imbdet.figures.averages import ratio
from imbdet.figures.part_files import PartReader


@dataclass(frozen=True, eq=False)
class BinnedScores:
    """Scores in B bins; bin i has the values from edges[i] on, up to below edges[i + 1].

    Attributes:
        edges: (B + 1,) ascending.
        counts: by run, the baseline first, (B,) int64 numbers of candidates.
        means: by run, (B,) mean scores; NaN of empty bins.
    """

    edges: np.ndarray
    counts: Mapping[str, np.ndarray]
    means: Mapping[str, np.ndarray]

    @property
    def differences(self) -> dict[str, np.ndarray]:
        """(B,) changes of the mean score against the baseline, by each other run."""
        baseline, *others = self.means
        return {run: self.means[run] - self.means[baseline] for run in others}

    def table(self) -> pa.Table:
        """A row for each run and bin."""
        baseline = next(iter(self.means))
        nothing = np.full(len(self.edges) - 1, np.nan)
        parts = [
            pa.table(
                {
                    "run": [run] * len(means),
                    "from": self.edges[:-1],
                    "below": self.edges[1:],
                    "candidates": self.counts[run],
                    "mean_score": means,
                    "difference": nothing if run == baseline else self.differences[run],
                }
            )
            for run, means in self.means.items()
        ]
        return pa.concat_tables(parts)

    def describe(self, index: int) -> str:
        """The differences in a bin, in words."""
        return ", ".join(
            f"{run} {'-' if np.isnan(change[index]) else f'{change[index]:+.3f}'}"
            for run, change in self.differences.items()
        )


def bin_column(
    runs: Mapping[str, PartReader], column: str, label: int, edges: np.ndarray
) -> BinnedScores | None:
    """Average the scores of the candidates of a label by another of their columns.

    Args:
        runs: tables of candidates by run, the baseline first.
        column: name of the column to bin by.
        label: POSITIVE or NEGATIVE.
        edges: see :func:`bin_scores`.

    Returns:
        The bins; None if they are all empty.
    """
    numbers = bin_scores(
        edges,
        {
            run: (
                (chunk[column].astype(float), chunk["score"])
                for chunk in reader.chunks([column, "score"], ("label", label))
            )
            for run, reader in runs.items()
        },
    )
    return numbers if any(counts.any() for counts in numbers.counts.values()) else None


def bin_scores(
    edges: np.ndarray, runs: Mapping[str, Iterable[tuple[np.ndarray, np.ndarray]]]
) -> BinnedScores:
    """Average the scores of candidates in bins of another value.

    Args:
        edges: (B + 1,) ascending; the last bin has all values from edges[B - 1] on.
        runs: by run, the baseline first, chunks of values (n,) and scores (n,); values that are NaN
            or below edges[0] are left out.
    """
    counts, means = {}, {}
    num_bins = len(edges) - 1
    for run, chunks in runs.items():
        count, total = np.zeros(num_bins, dtype=np.int64), np.zeros(num_bins)
        for values, scores in chunks:
            is_known = values >= edges[0]
            bins = np.searchsorted(edges[:-1], values[is_known], side="right") - 1
            count += np.bincount(bins, minlength=num_bins)
            total += np.bincount(bins, scores[is_known], minlength=num_bins)
        counts[run] = count
        means[run] = ratio(total, count)
    return BinnedScores(edges, counts, means)


def draw_binned_scores(
    panels: np.ndarray, scores: BinnedScores, places: np.ndarray
) -> dict[str, Line2D]:
    """Draw mean scores in the upper panel, changes in the lower one.

    Args:
        panels: (2,) axes.
        scores: scores of the bins.
        places: positions of the first bins on the x axis; the others are not drawn.

    Returns:
        The lines by run.
    """
    top, bottom = panels
    lines = run_lines(scores.means)
    baseline = next(iter(lines))
    handles = {run: _plot(top, places, scores.means[run], line) for run, line in lines.items()}
    for run, change in scores.differences.items():
        _plot(bottom, places, change, lines[run])
    bottom.axhline(0, color="black", linewidth=0.8)
    top.set(ylabel="mean score", ylim=(0, None))
    bottom.set(ylabel=f"minus {short(baseline)}")
    for axes in panels:
        axes.grid()
    return handles


def _plot(axes: Axes, places: np.ndarray, values: np.ndarray, line: dict) -> Line2D:
    return axes.plot(places, values[: len(places)], marker="o", markersize=3.5, **line)[0]
