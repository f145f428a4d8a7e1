"""Values of classes by their number of examples: in words, and as points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from imbdet.drawing.style import short
from imbdet.wording import counted

# Names of more classes would overlap.
_MAX_NAMES = 12


@dataclass(frozen=True, eq=False)
class Frequencies:
    """The number of examples of each class.

    Attributes:
        counts: (K,) int64 numbers of examples.
        unit: what is counted, a "training image" or an "object".
    """

    counts: np.ndarray
    unit: str

    @property
    def column(self) -> str:
        """The name of a table's column with the counts."""
        return f"{self.unit}s".replace(" ", "_")

    def frequent_first(self) -> tuple["Frequencies", np.ndarray]:
        """The frequencies from the highest on, and (K,) int64 their classes; ties stay in order."""
        order = np.argsort(-self.counts, kind="stable")
        return Frequencies(self.counts[order], self.unit), order


def describe_by_frequency(frequencies: Frequencies, values: np.ndarray) -> str:
    """The median values of the rarest and of the most frequent third of the classes, in words.

    Where these have equally many examples, it is the median of all classes.

    Args:
        frequencies: frequencies of the K classes.
        values: (K,) values of the classes, not all NaN; NaNs are left out.
    """
    counts, known = frequencies.counts, np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(counts[known], kind="stable")]
    size = max(len(order) // 3, 1)
    rare, frequent = order[:size], order[-size:]
    if counts[rare[-1]] == counts[frequent[0]]:
        where = "the only class" if len(order) == 1 else f"the {len(order):,} classes"
        return f"{np.median(values[order]):.3g} in {where} with positives"
    parts = [
        f"{np.median(values[third]):.3g} in {_name(size, name)} "
        f"({_range(counts[third], frequencies.unit)})"
        for third, name in ((rare, "rarest"), (frequent, "most frequent"))
    ]
    return " and ".join(parts)


def draw_by_frequency(
    axes: Axes,
    classes: Sequence[str] | None,
    frequencies: Frequencies,
    values: np.ndarray,
    **style: Any,
) -> PathCollection:
    """Draw a point for each class whose value is not NaN, over its frequency; name few classes.

    A class without examples has no place on the logarithmic axis, and is not drawn.

    Args:
        axes: axes to draw in, whose x axis becomes logarithmic.
        classes: (K,) names; None draws no names.
        frequencies: frequencies of the classes.
        values: (K,) values of the classes.
        style: keyword arguments of matplotlib's ``scatter``.
    """
    counts = frequencies.counts
    known = np.flatnonzero(~np.isnan(values) & (counts > 0))
    is_small = len(known) > 100
    points = axes.scatter(counts[known], values[known], s=8 if is_small else 24, **style)
    axes.set(xscale="log", xlabel=f"{frequencies.unit}s of the class")
    is_wide = len(known) > 0 and counts[known].max() > 1000 * counts[known].min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid()
    if classes is not None and len(known) <= _MAX_NAMES:
        ordered = known[np.argsort(counts[known], kind="stable")]
        for i, k in enumerate(ordered):
            axes.annotate(
                short(classes[k]),
                (counts[k], values[k]),
                xytext=(0, 5 if i % 2 else -12),  # neighbours are on different sides
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    return points


def _name(number: int, name: str) -> str:
    return f"the {name} class" if number == 1 else f"the {number:,} {name} classes"


def _range(counts: np.ndarray, unit: str) -> str:
    low, high = int(counts.min()), int(counts.max())
    return counted(high, unit) if low == high else f"{low:,} to {counted(high, unit)}"
