"""Cells of two binned variables: from the rows of a table to colours."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from imbdet.report.sources import Columns

# By the name of a variable the edges of its bins; two of them, the x axis first.
Edges = Mapping[str, np.ndarray]


def bin_edges(table: Columns, name: str) -> np.ndarray:
    """The edges of all bins of a variable that occur, ascending."""
    return np.unique([table[f"{name}_from"], table[f"{name}_to"]])


def count_cells(rows: Columns, count: str, edges: Edges) -> np.ndarray:
    """(I, J) int64 sums of a column of counts, 0 in cells without a row."""
    bins = [np.searchsorted(ends, rows[f"{name}_from"]) for name, ends in edges.items()]
    counts = np.zeros([len(ends) - 1 for ends in edges.values()], dtype=np.int64)
    np.add.at(counts, tuple(bins), rows[count])
    return counts


def cell_names(edges: Edges) -> np.ndarray:
    """(I, J) texts that name the bins."""
    first, second = (
        [f"{name} {a:.3g} to {b:.3g}" for a, b in itertools.pairwise(ends)]
        for name, ends in edges.items()
    )
    return np.array([[f"{a}<br>{b}" for b in second] for a in first])


def heatmap(
    edges: Sequence[np.ndarray],
    counts: np.ndarray,
    values: np.ndarray,
    names: np.ndarray,
    unit: str,
) -> go.Heatmap:
    """Cells in the page's colours.

    Args:
        edges: (I + 1,) of the x axis and (J + 1,) of the y axis.
        counts: (I, J), told when hovered over.
        values: (I, J) that the colours stand for; NaN is not drawn.
        names: (I, J) of :func:`cell_names`.
        unit: what is counted.
    """
    return go.Heatmap(
        x=edges[0],
        y=edges[1],
        z=values.T,
        customdata=counts.T,
        text=names.T,
        coloraxis="coloraxis",
        hoverongaps=False,
        hovertemplate=f"%{{text}}<br>%{{customdata:,}} {unit}<extra></extra>",
    )


def logarithms(values: np.ndarray) -> np.ndarray:
    """Decimal logarithms as float32, NaN of 0."""
    with np.errstate(divide="ignore"):
        logs = np.log10(values)
    return np.where(values > 0, logs, np.nan).astype(np.float32)
