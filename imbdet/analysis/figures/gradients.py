"""Counts by gradient norm, reformulated gradients, and what each bin contributes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imbdet.analysis.figures.style import LINES, label_panel, new_figure
from imbdet.analysis.gradients import GradientShares, bin_edges


def draw_gradients(numbers: GradientShares) -> Figure:
    """Three panels over the same axis, the gradient norm."""
    figure = new_figure(2.6)
    panels = figure.subplots(1, 3, sharex=True)
    _draw_counts(panels[0], numbers)
    _draw_curves(panels[1], numbers)
    _draw_shares(panels[2], numbers)
    for axes in panels:
        axes.set(xlim=(0, 1), xlabel="gradient norm g")
        axes.grid()
    return figure


def _draw_counts(axes: Axes, numbers: GradientShares) -> None:
    edges = bin_edges(len(next(iter(numbers.counts.values()))))
    for (kind, counts), style in zip(numbers.counts.items(), LINES, strict=False):
        axes.stairs(counts, edges, baseline=None, label=kind, **{"linewidth": 1.5, **style})
    axes.set(yscale="log", ylabel=numbers.entries)
    axes.legend()
    label_panel(axes, "(a) how many")


def _draw_curves(axes: Axes, numbers: GradientShares) -> None:
    for (loss, values), style in zip(numbers.curves.items(), LINES, strict=False):
        axes.plot(numbers.norms, values, label=loss, **style)
    positive = [values[values > 0].min() for values in numbers.curves.values() if values.any()]
    axes.set(yscale="log", ylabel="reformulated gradient", ylim=(max(min(positive), 1e-4), None))
    axes.legend()
    label_panel(axes, "(b) how hard each pulls")


def _draw_shares(axes: Axes, numbers: GradientShares) -> None:
    for (loss, share), style in zip(numbers.shares.items(), LINES, strict=False):
        edges = bin_edges(len(share))
        axes.stairs(share, edges, baseline=None, label=loss, **{"linewidth": 1.5, **style})
    axes.set(ylabel="share of the total gradient", ylim=(0, None))
    axes.legend()
    label_panel(axes, "(c) what each bin adds")
