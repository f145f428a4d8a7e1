"""The figures of ``imbdet analyze`` about what samplers choose, from their tables."""

import numpy as np
import plotly.graph_objects as go

from imbdet.report.cells import bin_edges, count_cells
from imbdet.report.joint import joint_plots
from imbdet.report.plots import LOG_AXIS, Plot, bars, new_figure, plain, stairs
from imbdet.report.sources import CannotShow, Columns, split


def draw_sampling_distribution(table: Columns) -> list[Plot]:
    """A plot for each selection and sign."""
    edges = {name: bin_edges(table, name) for name in ("iou", "loss")}
    panels = {}
    for sign in ("positives", "negatives"):
        for selection, rows in split(table, "selection").items():
            own = {name: values[rows["sign"] == sign] for name, values in rows.items()}
            if len(own["sign"]):
                panels[f"{selection} {sign}"] = {"": count_cells(own, "count", edges)}
    return joint_plots(panels, edges["iou"], edges["loss"])


def draw_hardness(table: Columns) -> list[Plot]:
    """The chosen negatives by IoU, a line for each selection."""
    names = ("random", "hard")
    num_used = 1 + np.flatnonzero(sum(table[name] for name in names)).max(initial=0)
    edges = np.append(table["iou_from"], table["iou_to"][-1])[: num_used + 1]
    traces = []
    for index, name in enumerate(names):
        counts = table[name][:num_used]
        trace = stairs(name, index, edges, counts / max(counts.sum(), 1))
        trace.update(customdata=np.append(counts, counts[-1]))
        traces.append(trace.update(hovertemplate="%{y:.2%} (%{customdata:,})"))
    figure = new_figure(
        *traces,
        x="IoU with the nearest object",
        y="share of the chosen negatives",
        yaxis_type="log",
        yaxis_tickformat=".2~%",
    )
    figure.add_vline(0.05, line_width=1, line_dash="dot", line_color="gray")
    return [Plot("Negatives by IoU", figure)]


def draw_overlap(table: Columns) -> list[Plot]:
    """A matrix of the samplers for each sign."""
    plots = []
    for sign in dict.fromkeys(table["sign"]):
        own = table["sign"] == sign
        names = list(dict.fromkeys(table["first"][own]))
        shape = len(names), len(names)
        jaccard = table["jaccard"][own].reshape(shape)
        texts = [["none" if np.isnan(v) else f"{v:.2f}" for v in row] for row in jaccard]
        matrix = go.Heatmap(
            x=[plain(name) for name in names],
            y=[plain(name) for name in names],
            z=jaccard,
            text=texts,
            texttemplate="%{text}",
            customdata=table["common"][own].reshape(shape),
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
            hovertemplate="%{y} and %{x}: %{text}<br>%{customdata:,} in common<extra></extra>",
        )
        figure = new_figure(matrix, hovermode="closest")
        figure.update_layout(
            coloraxis={"cmin": 0, "cmax": 1, "showscale": False},
            xaxis={"type": "category", "tickangle": -35, "showgrid": False},
            yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
        )
        plots.append(Plot(sign, figure, height=380))
    return plots


def draw_imbalance(table: Columns) -> list[Plot]:
    """Classes, sizes, and positives of an object."""

    def part(distribution: str) -> tuple[list[str], np.ndarray]:
        own = table["distribution"] == distribution
        return list(table["bin"][own]), table["count"][own]

    classes, objects = part("class: objects")
    _, positives = part("class: positives")
    _, negatives = part("candidates")
    if not len(classes):
        raise CannotShow("'imbalance.parquet' has no classes.")
    names = [*classes, "background"]
    figure = new_figure(
        bars("objects", 0, classes, objects),
        bars("candidates", 1, names, [*positives, *negatives]),
        y="number",
        yaxis=LOG_AXIS,
        xaxis_type="category",
    )
    return [
        Plot("Classes", figure),
        _bar_plot("Sizes", *part("size below (pixels)"), "square root of the area below [pixels]"),
        _bar_plot(
            "Positives of an object", *part("positives of an object, up to"), "positives, up to"
        ),
    ]


def _bar_plot(title: str, names: list[str], counts: np.ndarray, x: str) -> Plot:
    used = np.flatnonzero(counts)
    shown = slice(used[0], used[-1] + 1) if len(used) else slice(None)
    figure = new_figure(
        bars("objects", 0, names[shown], counts[shown]), x=x, y="objects", xaxis_type="category"
    )
    return Plot(title, figure)
