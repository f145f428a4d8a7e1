"""The figures of ``imbdet compare`` about training and scores, from their tables."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from imbdet.report.cells import bin_edges, cell_names, count_cells, heatmap, logarithms
from imbdet.report.plots import Plot, line, new_figure, plain
from imbdet.report.sources import Columns, split

_RANKINGS = {"positives": "IoU-HLR", "negatives": "Score-HLR"}


def draw_curves(table: Columns) -> list[Plot]:
    """A plot for each loss, and one of AP."""
    runs = list(split(table, "run"))
    plots = []
    for scalar, rows in split(table, "scalar").items():
        draw = _ap_curve if scalar == "AP" else _loss_curve
        traces = [
            trace
            for run, own in split(rows, "run").items()
            for trace in draw(run, runs.index(run), own)
        ]
        unit = "percent" if scalar == "AP" else "loss"
        figure = new_figure(*traces, x="iteration", y=unit, showlegend=True)
        plots.append(Plot(scalar, figure.update_xaxes(rangemode="tozero")))
    return plots


def _ap_curve(run: str, index: int, rows: Columns) -> list[go.Scatter]:
    """As it is: there are few points."""
    points = {"mode": "lines+markers", "hovertemplate": "%{y:.1f}"}
    return [line(run, index, rows["iteration"], rows["value"], **points)]


def _loss_curve(run: str, index: int, rows: Columns) -> list[go.Scatter]:
    """The raw values faint behind the smoothed ones; a click on the name hides both."""
    group = {"legendgroup": plain(run)}
    faint = {"opacity": 0.3, "line_width": 1, "line_dash": "solid"}
    silent = {"hoverinfo": "skip", "showlegend": False}
    raw = line(run, index, rows["iteration"], rows["value"], **faint, **silent, **group)
    told = {"customdata": rows["value"], "hovertemplate": "%{y:.4g} (raw %{customdata:.4g})"}
    return [raw, line(run, index, rows["iteration"], rows["smoothed"], **told, **group)]


def draw_score_iou(table: Columns) -> list[Plot]:
    """A plot for each run, all with the same colours."""
    edges = {name: bin_edges(table, name) for name in ("score", "iou")}
    names = cell_names({"score": edges["score"], "IoU": edges["iou"]})
    colors = {"cmin": 0, "cmax": float(np.log10(max(2, table["detections"].max())))}
    plots = []
    for run, rows in split(table, "run").items():
        counts = count_cells(rows, "detections", edges)
        cells = heatmap(list(edges.values()), counts, logarithms(counts), names, "detections")
        figure = new_figure(
            cells,
            x="score",
            y="IoU with the nearest object of the class",
            hovermode="closest",
            coloraxis={"showscale": False, **colors},
            xaxis_range=[0, 1],
            yaxis_range=[0, 1],
        )
        figure.add_hline(0.5, line_width=1, line_dash="dot", line_color="gray")
        plots.append(Plot(run, figure, height=340))
    return plots


def draw_score_by_rank(table: Columns) -> list[Plot]:
    """Positives, and negatives if they have ranks: mean scores and their changes."""
    plots = []
    for sign, rows in split(table, "sign").items():
        first = next(iter(split(rows, "run").values()))
        lows, highs = first["from"], first["below"] - 1
        labels = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(lows, highs, strict=True)]
        labels[-1] = f"≥ {lows[-1]}"
        plots += _binned_scores(sign, rows, labels, f"{_RANKINGS[sign]}, 0 first")
    return plots


def draw_score_by_iou(table: Columns) -> list[Plot]:
    """Mean scores of the positives and their changes."""
    first = next(iter(split(table, "run").values()))
    labels = [f"{a:g} to {b:g}" for a, b in zip(first["from"], first["below"], strict=True)]
    return _binned_scores("positives", table, labels, "IoU of a positive after regression")


def _binned_scores(sign: str, table: Columns, labels: Sequence[str], x: str) -> list[Plot]:
    """Up to the last bin that any run has candidates in."""
    runs = split(table, "run")
    num_candidates = sum(rows["candidates"] for rows in runs.values())
    labels = labels[: np.flatnonzero(num_candidates)[-1] + 1]
    baseline, *_ = runs
    axis = {"x": x, "xaxis_type": "category", "showlegend": True}
    means, changes = (
        [_bin_line(run, i, labels, rows, *column) for i, (run, rows) in enumerate(runs.items())]
        for column in (("mean_score", ".3f"), ("difference", "+.3f"))
    )
    scores = new_figure(*means, y="mean score", yaxis_rangemode="tozero", **axis)
    differences = new_figure(*changes[1:], y="change of the mean score", **axis)
    differences.add_hline(0, line_width=1, line_color="gray")
    return [
        Plot(f"Mean scores of {sign}", scores),
        Plot(f"Change against {baseline}, {sign}", differences),
    ]


def _bin_line(
    run: str, index: int, labels: Sequence[str], rows: Columns, column: str, number: str
) -> go.Scatter:
    """A column over the first bins, told with the numbers of candidates."""
    return line(
        run,
        index,
        labels,
        rows[column][: len(labels)],
        mode="lines+markers",
        customdata=rows["candidates"][: len(labels)],
        hovertemplate=f"%{{y:{number}}} (%{{customdata:,}})",
    )
