"""The joint distribution of IoU and loss as a drawing, with its marginals."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from imbdet.report.cells import cell_names, heatmap, logarithms
from imbdet.report.plots import LOG_AXIS, Plot, new_figure, stairs

# The main axes leave room for the marginals above and at the right.
_MAIN, _MARGINAL = (0.0, 0.82), (0.85, 1.0)
# Ratio of the edges that the outermost bins of the loss get: a bin of the records.
_STEP = 10**0.25
_IOU = "IoU with the nearest object"

# (I, J) counts by the name of a stretch of the training.
Stages = Mapping[str, np.ndarray]

HOW_TO_READ = (
    "Each cell is the share of the panel's samples with that IoU and that classification loss, on "
    "a logarithmic scale of colours; the curves above and at the right are the sums of columns and "
    "rows."
)


def joint_plots(
    panels: Mapping[str, Stages], iou_edges: np.ndarray, loss_edges: np.ndarray
) -> list[Plot]:
    """A plot for each panel, all with the same colours.

    Args:
        panels: by their names, which end with "positives" or "negatives": each sign has axes of its
            own. Several stages are the frames of a slider, the first one is shown.
        iou_edges: (I + 1,).
        loss_edges: (J + 1,); the ends may be 0 and infinite.
    """
    shares = np.stack([_shares(counts) for stages in panels.values() for counts in stages.values()])
    colors = {"cmin": _log(shares[shares > 0].min()), "cmax": _log(shares.max())}
    edges = iou_edges, _finite_edges(loss_edges)
    names = cell_names({"IoU": iou_edges, "loss": loss_edges})
    plots = []
    for name, stages in panels.items():
        sign = name.split()[-1]
        used = sum(sum(panels[other].values()) for other in panels if other.endswith(sign))
        figure = go.Figure(_traces(next(iter(stages.values())), *edges, names))
        figure.update_layout(_layout(*edges, used), coloraxis={"showscale": False, **colors})
        if len(stages) > 1:
            figure.frames = [
                go.Frame(name=stage, data=_changes(counts)) for stage, counts in stages.items()
            ]
        plots.append(Plot(name, figure, height=340))
    return plots


def iou_plot(title: str, stages: Stages, iou_edges: np.ndarray) -> Plot:
    """The IoU alone, where no loss is known: counts as for :func:`joint_plots`."""
    sums = {stage: counts.sum(axis=1) for stage, counts in stages.items()}
    steps = stairs(title, 0, iou_edges, next(iter(sums.values())), fill="tozeroy", line_width=0)
    figure = new_figure(steps, x=_IOU, y="samples")
    if len(sums) > 1:
        figure.frames = [
            go.Frame(name=stage, data=[go.Scatter(y=np.append(values, values[-1]))])
            for stage, values in sums.items()
        ]
    return Plot(title, figure, height=340)


def _traces(
    counts: np.ndarray, iou_edges: np.ndarray, loss_edges: np.ndarray, names: np.ndarray
) -> Sequence[go.Heatmap | go.Scatter]:
    shares = logarithms(_shares(counts))
    cells = heatmap((iou_edges, loss_edges), counts, shares, names, "samples")
    marginal = {"line_width": 0, "hoverinfo": "skip"}
    above = stairs("by IoU", 0, iou_edges, counts.sum(axis=1), yaxis="y2", **marginal)
    losses = counts.sum(axis=0)
    right = go.Scatter(
        x=np.append(losses, losses[-1]),
        y=loss_edges,
        meta=0,
        mode="lines",
        line={"shape": "vh", "width": 0},
        hoverinfo="skip",
        fill="tozerox",
        xaxis="x2",
    )
    return cells, above.update(fill="tozeroy"), right


def _changes(counts: np.ndarray) -> Sequence[dict]:
    """What another stage changes in the traces."""
    ious, losses = counts.sum(axis=1), counts.sum(axis=0)
    return (
        go.Heatmap(z=logarithms(_shares(counts)).T, customdata=counts.T),
        go.Scatter(y=np.append(ious, ious[-1])),
        go.Scatter(x=np.append(losses, losses[-1])),
    )


def _layout(iou_edges: np.ndarray, loss_edges: np.ndarray, used: np.ndarray) -> dict:
    """Axes that show what is used in any panel."""
    ious, losses = _used(iou_edges, used.any(axis=1)), _used(loss_edges, used.any(axis=0))
    hidden = {"visible": False, "fixedrange": True}
    return {
        "template": "none",
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"domain": _MAIN, "range": ious, "title": _IOU},
        "yaxis": {
            **LOG_AXIS,
            "dtick": 1 if losses[1] > 10 * losses[0] else None,
            "domain": _MAIN,
            "range": np.log10(losses).tolist(),
            "title": "classification loss",
        },
        "xaxis2": {"domain": _MARGINAL, "rangemode": "tozero", **hidden},
        "yaxis2": {"domain": _MARGINAL, "rangemode": "tozero", **hidden},
    }


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / max(counts.sum(), 1)


def _log(share: float) -> float:
    return float(np.log10(share))


def _finite_edges(edges: np.ndarray) -> np.ndarray:
    """Edges for a logarithmic axis: the outermost bins get a bin's width."""
    edges = np.asarray(edges, dtype=float).copy()
    edges[0] = edges[0] if edges[0] > 0 else edges[1] / _STEP
    edges[-1] = edges[-1] if np.isfinite(edges[-1]) else edges[-2] * _STEP
    return edges


def _used(edges: np.ndarray, is_used: np.ndarray) -> list[float]:
    rows = np.flatnonzero(is_used)
    first, last = (rows[0], rows[-1] + 1) if len(rows) else (0, len(edges) - 1)
    return [float(edges[first]), float(edges[last])]
