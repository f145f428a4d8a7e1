"""The figures of ``imbdet compare`` about metrics, from their tables: each run with the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from imbdet.report.plots import Plot, bars, line, new_figure, plain
from imbdet.report.sources import Columns, split

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
_COMPONENTS = {"olrp": "oLRP", "localisation": "oLRP Loc", "fp": "oLRP FP", "fn": "oLRP FN"}


def draw_coco(table: Columns) -> list[Plot]:
    """Values, and differences to the baseline, with their intervals."""
    runs = split(table, "run")
    values = [
        _estimates(run, i, rows["metric"], rows["value"], rows["low"], rows["high"])
        for i, (run, rows) in enumerate(runs.items())
    ]
    figure = _figure(values, y="percent", yaxis_rangemode="tozero")
    return [Plot("Values", figure), _changes(runs, next(iter(runs.values()))["metric"])]


def draw_class_ap(table: Columns) -> list[Plot]:
    """The change of each class, and its AP."""
    runs = split(table, "run")
    first = next(iter(runs.values()))
    labels = [f"{name} ({n:,})" for name, n in zip(first["class"], first["objects"], strict=True)]
    values = {run: rows["AP"] for run, rows in runs.items()}
    return [_changes(runs, labels), _bars("AP", labels, values)]


def draw_error_types(table: Columns) -> list[Plot]:
    """The six types, and all false positives and negatives."""
    runs = split(table, "run")
    errors = next(iter(runs.values()))["error"]
    return [
        _bars(
            title,
            errors[part],
            {run: rows["gain"][part] for run, rows in runs.items()},
            y="points of AP50 gained if mended",
        )
        for title, part in (("Types of errors", slice(-2)), ("All of them", slice(-2, None)))
    ]


def draw_lrp(table: Columns) -> list[Plot]:
    """The means of the components; the error and the best threshold of each class."""
    means, classes = {}, {}
    for run, rows in split(table, "run").items():
        is_mean = rows["class"] == ""
        means[run] = np.array([rows[name][is_mean][0] for name in _COMPONENTS])
        classes[run] = {name: values[~is_mean] for name, values in rows.items()}
    labels = next(iter(classes.values()))["class"]
    errors, thresholds = (
        {run: rows[name] for run, rows in classes.items()} for name in ("olrp", "threshold")
    )
    return [
        _bars("Means", list(_COMPONENTS.values()), means),
        _bars("oLRP by class", labels, errors),
        _bars("Best thresholds", labels, thresholds, y="score", number=".3f", yaxis_range=[0, 1]),
    ]


def _changes(runs: Mapping[str, Columns], labels: Sequence[str]) -> Plot:
    """Differences to the baseline; undecided ones are hollow."""
    baseline, *others = runs
    traces = []
    for i, run in enumerate(others, 1):
        estimates = [runs[run][f"difference{end}"] for end in ("", "_low", "_high")]
        trace = _estimates(run, i, labels, *estimates, number="+.1f")
        verdicts = runs[run]["difference_verdict"]
        symbols = [trace.marker.symbol + "-open" * (v == "undecided") for v in verdicts]
        texts = [f"{text}, {verdict}" for text, verdict in zip(trace.text, verdicts, strict=True)]
        traces.append(trace.update(text=texts, marker_symbol=symbols))
    figure = _figure(traces, y="percentage points")
    figure.add_hline(0, line_width=1, line_color="gray")
    return Plot(f"Change against {baseline}", figure)


def _estimates(
    run: str,
    index: int,
    labels: Sequence[str],
    values: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    *,
    number: str = ".1f",
) -> go.Scatter:
    """Points with their intervals, which are NaN where there are none."""
    texts = [
        f"{value:{number}} "
        + ("(no interval)" if np.isnan(low) else f"[{low:{number}}, {high:{number}}]")
        for value, low, high in zip(values, lows, highs, strict=True)
    ]
    return line(
        run,
        index,
        [plain(label) for label in labels],
        values,
        mode="markers",
        marker={"size": 8, "symbol": _SYMBOLS[index % len(_SYMBOLS)]},
        error_y={"array": highs - values, "arrayminus": values - lows, "thickness": 1.5},
        text=texts,
        hovertemplate="%{text}",
    )


def _bars(
    title: str,
    labels: Sequence[str],
    values: Mapping[str, np.ndarray],
    *,
    y: str = "percent",
    number: str = ".1f",
    **layout: Any,
) -> Plot:
    """Groups of bars, one for each run."""
    traces = [
        bars(run, i, labels, of_run).update(hovertemplate=f"%{{y:{number}}}")
        for i, (run, of_run) in enumerate(values.items())
    ]
    return Plot(title, _figure(traces, y=y, **layout))


def _figure(traces: Sequence[Any], *, y: str, **layout: Any) -> go.Figure:
    """Traces side by side over names, with a legend even of one run."""
    groups = {"xaxis_type": "category", "scattermode": "group", "showlegend": True}
    return new_figure(*traces, y=y, **groups, **layout)
