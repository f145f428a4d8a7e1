"""The stability of assigners: positives that they keep after more training, or in another run.

The positives of an assigner that uses predictions change with these, and the targets of the
training with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.run_styles import add_legend, run_points, spread
from imbdet.drawing.style import new_figure
from imbdet.figures.averages import ratio
from imbdet.figures.columns import BOX, Columns, object_by
from imbdet.figures.part_files import PartReader
from imbdet.figures.study import NothingToShow, Study


@dataclass(frozen=True)
class SamePositives(Study):
    """Positives that runs have in common with the baseline, by assigner.

    Attributes:
        baseline: name of the first run.
        assigners: (A,) names.
        jaccard: by other run, (A,) number of pairs of prior and object that both runs have, over
            that of pairs that any has, in [0, 1]; NaN where neither has any.
    """

    name = "same_positives"
    title = "How stable the assigners are"
    caption = (
        "Of the pairs of a prior and its object that an assigner made in the baseline or in the "
        "run, the share that it made in both. It is 1 for assigners that look at boxes alone."
    )

    baseline: str
    assigners: Sequence[str]
    jaccard: Mapping[str, np.ndarray]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each run and assigner."""
        rows = [
            {"run": run, "assigner": assigner, "jaccard": float(value)}
            for run, values in self.jaccard.items()
            for assigner, value in zip(self.assigners, values, strict=True)
        ]
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = []
        for run, values in self.jaccard.items():
            worst = int(np.nanargmin(values))
            parts.append(
                f"{run} shares {values[worst]:.0%} of the positives of {self.assigners[worst]}, "
                f"the least, and {np.nanmean(values):.0%} on average over the assigners"
            )
        return f"With {self.baseline} {'; '.join(parts)}."

    def draw(self) -> Figure:
        """A row for each assigner, a point for each run."""
        height = 0.24 * len(self.assigners) * max(1.0, 0.6 * len(self.jaccard)) + 1.2
        figure = new_figure(height, width=5.0)
        axes = figure.subplots()
        places, handles = np.arange(len(self.assigners)), {}
        styles = run_points([self.baseline, *self.jaccard])
        for k, (run, values) in enumerate(self.jaccard.items()):
            offset = spread(k, len(self.jaccard))
            handles[run] = axes.plot(values, places + offset, linestyle="none", **styles[run])[0]
        axes.set_yticks(places, self.assigners)
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.set(xlim=(-0.02, 1.02), xlabel="share of positives in common with the baseline")
        add_legend(figure, handles)
        return figure


def same_positives(runs: Mapping[str, PartReader]) -> SamePositives:
    """Compare the positives of each assigner.

    Args:
        runs: tables of candidates by run, the baseline first.

    Raises:
        NothingToShow: the tables have no assigner in common, or candidates that differ.
    """
    (baseline, first), *others = runs.items()
    assigners = [x for x in first.assigners if all(x in other.assigners for _, other in others)]
    if not assigners:
        raise NothingToShow("it needs analyses of dense detectors.")
    counts = {run: np.zeros((2, len(assigners))) for run, _ in others}
    for run, reader in others:
        for own, other in _pairs(first, reader, [object_by(name) for name in assigners], run):
            for a, name in enumerate(map(object_by, assigners)):
                one, two = own[name], other[name]
                counts[run][0, a] += ((one == two) & (one >= 0)).sum()
                counts[run][1, a] += (one >= 0).sum() + (two >= 0).sum()
    # Common pairs were counted in both runs.
    jaccard = {run: ratio(same, both - same) for run, (same, both) in counts.items()}
    if any(np.isnan(values).all() for values in jaccard.values()):
        raise NothingToShow("there are no positives.")
    return SamePositives(baseline, assigners, jaccard)


def _pairs(
    first: PartReader, other: PartReader, columns: Sequence[str], run: str
) -> Iterator[tuple[Columns, Columns]]:
    """Chunks of both tables, whose rows are the same candidates."""
    corners = ["image_id", *BOX]
    if len(first.paths) != len(other.paths):
        raise NothingToShow(f"{run} has other candidates than the baseline.")
    both = (reader.chunks([*corners, *columns]) for reader in (first, other))
    for one, two in zip(*both, strict=True):
        if any(not np.array_equal(one[name], two[name]) for name in corners):
            raise NothingToShow(f"{run} has other candidates than the baseline.")
        yield one, two
