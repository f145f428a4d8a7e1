"""The figures of ``imbdet analyze`` about losses, scores and ranks, from their tables."""

import numpy as np

from imbdet.report.plots import LOG_AXIS, Plot, bars, line, new_figure, stairs
from imbdet.report.sources import Columns

_GRADIENT, _SHARE = "gradient_of_", "share_of_"


def draw_gradients(table: Columns) -> list[Plot]:
    """How many entries, how hard each pulls, and what each bin adds."""
    edges = np.append(table["g_from"], table["g_to"][-1])
    sums = {
        name.removeprefix(_GRADIENT): values
        for name, values in table.items()
        if name.startswith(_GRADIENT)
    }
    counts = {name: table[name] for name in ("positives", "negatives") if name in table}
    means = {loss: _ratio(values, sum(counts.values())) for loss, values in sums.items()}
    shares = {loss: table[f"{_SHARE}{loss}"] for loss in sums}
    return [
        _steps("How many", counts, edges, "number", is_log=True),
        _steps("How hard each pulls", means, edges, "mean gradient", is_log=True),
        _steps("What each bin adds", shares, edges, "share of the total gradient"),
    ]


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """NaN in an empty bin."""
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def _steps(
    title: str, series: dict[str, np.ndarray], edges: np.ndarray, y: str, *, is_log: bool = False
) -> Plot:
    traces = [stairs(name, i, edges, values) for i, (name, values) in enumerate(series.items())]
    axis = LOG_AXIS if is_log else {"rangemode": "tozero"}
    figure = new_figure(*traces, x="gradient norm g", y=y, yaxis=axis, xaxis_range=[0, 1])
    return Plot(title, figure)


def draw_ranks(table: Columns) -> list[Plot]:
    """Where all positives stand, and the best of each object."""
    lows, highs = table["negatives_from"], table["negatives_below"] - 1
    names = [f"{a:,}" if a == b else f"≤ {b:,}" for a, b in zip(lows, highs, strict=True)]
    series = {"all positives": "positives", "best of each object": "best_of_object"}
    traces = []
    for index, (name, column) in enumerate(series.items()):
        counts = table[column]
        trace = bars(name, index, names, counts / max(counts.sum(), 1))
        trace.update(customdata=counts, hovertemplate="%{y:.1%} (%{customdata:,})")
        traces.append(trace)
    figure = new_figure(
        *traces,
        x="negatives of its image at or above the positive",
        y="share",
        xaxis_type="category",
        yaxis_tickformat=".0%",
    )
    return [Plot("Where positives stand", figure)]


def draw_calibration(table: Columns) -> list[Plot]:
    """Share of right entries by score, and how many have that score."""
    edges = np.append(table["score_from"], table["score_to"][-1])
    right = stairs("share right", 0, edges, table["share_of_positives"])
    ideal = line("a score that means what it says", 1, [0, 1], [0, 1], hoverinfo="skip")
    at_mean = line(
        "at the mean score",
        2,
        table["mean_score"],
        table["share_of_positives"],
        mode="markers",
        marker_size=8,
    )
    score = "score of a candidate for a class"
    reliability = new_figure(
        right, ideal, at_mean, x=score, y="share of right entries", hovermode="closest"
    )
    reliability.update_layout(xaxis_range=[0, 1], yaxis_range=[0, 1])
    counts = [
        stairs("entries", 0, edges, table["entries"]),
        stairs("right entries", 1, edges, table["positives"]),
    ]
    numbers = new_figure(*counts, x=score, y="entries", yaxis=LOG_AXIS, xaxis_range=[0, 1])
    return [Plot("Reliability", reliability), Plot("How many have that score", numbers)]


def draw_distributions(table: Columns) -> list[Plot]:
    """Entries by score, and what DR loss makes of them, with the two numbers that it compares."""
    edges = np.append(table["score_from"], table["score_to"][-1])
    score = "score of a candidate for a class"
    entries, weights = [], []
    for index, (sign, name) in enumerate({"positives": "P⁺", "negatives": "P⁻"}.items()):
        counts, mean = table[sign], table[f"mean_of_{sign}"][0]
        entries.append(stairs(sign, index, edges, counts / counts.sum()))
        own = table[f"weight_of_{sign}"]
        weights.append(stairs(f"{sign}, {name} {mean:.2f}", index, edges, own))
        weights.append(line(name, index, [mean, mean], [0, own.max()], showlegend=False))
    shares = new_figure(*entries, x=score, y="share of the entries", yaxis=LOG_AXIS)
    hardest = new_figure(*weights, x=score, y="share of the weight of an image")
    for figure in (shares, hardest):
        figure.update_layout(xaxis_range=[0, 1])
    return [Plot("As they are", shares), Plot("As DR loss weighs them", hardest)]


def draw_score_shift(table: Columns) -> list[Plot]:
    """How many images have which threshold, and their F1 scores at it and at one for all."""
    thresholds, common = table["threshold"], table["common_threshold"][0]
    edges = np.arange(np.floor(thresholds.min()), thresholds.max() + 0.5, 0.25)
    counts = np.histogram(thresholds, edges)[0]
    histogram = new_figure(
        stairs("images", 0, edges, counts),
        line("best for all together", 1, [common, common], [0, counts.max()], hoverinfo="skip"),
        x="best threshold of an image (logit)",
        y="images",
    )
    options = {"mode": "markers", "hovertemplate": "%{x:.3f}, %{y:.3f}"}
    scores = new_figure(
        line("an image", 0, table["f1_at_common"], table["f1_at_own"], **options),
        line("no shift", 1, [0, 1], [0, 1], hoverinfo="skip"),
        x="F1 at the threshold for all",
        y="F1 at its own",
        hovermode="closest",
    )
    scores.update_layout(xaxis_range=[0, 1], yaxis_range=[0, 1])
    return [Plot("Thresholds", histogram), Plot("Their F1 scores", scores)]


def draw_boosting(table: Columns) -> list[Plot]:
    """Precision over recall, a plot for each IoU threshold, with the AP there."""
    plots = []
    for threshold in np.unique(table["iou_threshold"]):
        traces = []
        for index, variant in enumerate(dict.fromkeys(table["variant"])):
            own = (table["variant"] == variant) & (table["iou_threshold"] == threshold)
            name = f"{variant}: AP {table['AP_at_threshold'][own][0]:.1f}"
            traces.append(line(name, index, table["recall"][own], table["precision"][own]))
        figure = new_figure(*traces, x="recall", y="precision")
        figure.update_layout(xaxis_range=[0, 1], yaxis_range=[0, 1.02])
        plots.append(Plot(f"IoU {threshold:g}", figure))
    return plots
