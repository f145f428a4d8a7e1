"""A drawing of a comparison shows the numbers of its table, no others."""

import html
import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest

from imbdet.report.comparison_studies import COMPARISON
from imbdet.report.sources import read_table
from tests.report.comparisons import RUNS, all_comparisons
from tests.report.factories import CLASSES


@pytest.fixture(scope="module", params=[2, 4])
def numbers(request):
    return all_comparisons(request.param)


@pytest.fixture
def drawn(numbers, tmp_path):
    """A function that draws a study from its file: plots by title, and the table's rows."""

    def draw(name):
        path = tmp_path / f"{name}.parquet"
        table = numbers[name].table()
        pq.write_table(table, path)
        plots = COMPARISON[name].draw(read_table(path))
        return {plot.title: plot.figure for plot in plots}, table.to_pylist()

    return draw


def escaped(text):
    return html.escape(text, quote=False)


def column(rows, name, **where):
    """The values of the rows that have some others, None as NaN."""
    found = [row[name] for row in rows if all(row[key] == value for key, value in where.items())]
    return [np.nan if value is None else value for value in found]


def traces(figure, numbers, *, skip=0):
    """By run; each run has the place in the palette that it has everywhere."""
    runs = list(numbers["coco"].values)
    assert [trace.name for trace in figure.data] == [escaped(run) for run in runs[skip:]]
    assert [trace.meta for trace in figure.data] == list(range(skip, len(runs)))
    return dict(zip(runs[skip:], figure.data, strict=True))


def test_every_figure_of_a_comparison_is_drawn(numbers):
    assert COMPARISON.keys() == numbers.keys()


def test_curves(drawn, numbers):
    figures, rows = drawn("curves")
    assert list(figures) == list(numbers["curves"].curves) == ["total_loss", "loss_cls", "AP"]
    runs = numbers["curves"].runs
    for scalar, figure in figures.items():
        shown = {}
        for trace in figure.data:
            shown.setdefault(trace.name, []).append(trace)
        of_scalar = numbers["curves"].curves[scalar]
        assert list(shown) == [escaped(run) for run in of_scalar]
        for run, found in zip(of_scalar, shown.values(), strict=True):
            values, smoothed = (
                column(rows, name, scalar=scalar, run=run) for name in ("value", "smoothed")
            )
            drawn_values = [values] if scalar == "AP" else [values, smoothed]
            for trace, expected in zip(found, drawn_values, strict=True):
                assert trace.meta == runs.index(run)
                assert trace.x.tolist() == column(rows, "iteration", scalar=scalar, run=run)
                np.testing.assert_array_equal(trace.y, expected)
            if scalar != "AP":
                np.testing.assert_array_equal(found[1].customdata, values)


def check_estimates(trace, rows, names):
    """Points with their intervals, from the columns of values, lows and highs."""
    values, lows, highs = (column(rows, name) for name in names)
    np.testing.assert_array_equal(trace.y, values)
    np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, lows)
    np.testing.assert_allclose(trace.y + trace.error_y.array, highs)


def check_changes(figure, rows, numbers):
    """Returns the verdicts that occur."""
    ends = [f"difference{end}" for end in ("", "_low", "_high", "_verdict")]
    verdicts = set()
    for run, trace in traces(figure, numbers, skip=1).items():
        own = [row for row in rows if row["run"] == run]
        check_estimates(trace, own, ends[:3])
        for row, symbol, text in zip(own, trace.marker.symbol, trace.text, strict=True):
            value, low, high, verdict = (row[end] for end in ends)
            assert symbol.endswith("-open") == (verdict == "undecided")
            if verdict:
                assert text == f"{value:+.1f} [{low:+.1f}, {high:+.1f}], {verdict}"
            verdicts.add(verdict)
    return verdicts


def test_coco(drawn, numbers):
    figures, rows = drawn("coco")
    values, changes = figures.values()
    for run, trace in traces(values, numbers).items():
        own = [row for row in rows if row["run"] == run]
        assert list(trace.x) == column(own, "metric")
        check_estimates(trace, own, ("value", "low", "high"))
        assert trace.x[-1] == "APm"  # no large objects
        first = own[0]
        assert trace.text[0] == f"{first['value']:.1f} [{first['low']:.1f}, {first['high']:.1f}]"
    assert list(figures)[1] == "Change against base"
    check_changes(changes, rows, numbers)


def test_no_interval_is_said():
    table = {
        "run": np.array(["a", "b"]),
        "metric": np.array(["AP", "AP"]),
        "difference_verdict": np.array(["", "undecided"]),
        "value": np.array([10.0, 12.0]),
        "difference": np.array([np.nan, 2.0]),
    }
    ends = ("low", "high", "difference_low", "difference_high")
    table.update((end, np.full(2, np.nan)) for end in ends)
    values, changes = COMPARISON["coco"].draw(table)
    assert values.figure.data[0].text == ("10.0 (no interval)",)
    assert changes.figure.data[0].text == ("+2.0 (no interval), undecided",)


def test_class_ap(drawn, numbers):
    figures, rows = drawn("class_ap")
    changes, values = figures.values()
    assert check_changes(changes, rows, numbers) == {"better", "undecided", "worse"}
    for run, trace in traces(values, numbers).items():
        assert trace.y.tolist() == column(rows, "AP", run=run)
    order, counts = numbers["class_ap"].classes, numbers["class_ap"].num_objects
    labels = [f"{escaped(name)} ({n:,})" for name, n in zip(order, counts, strict=True)]
    assert labels[0] == "&lt;/script&gt;&lt;b&gt;bold (1,200)"
    for trace in itertools.chain(changes.data, values.data):
        assert list(trace.x) == labels


def test_error_types(drawn, numbers):
    figures, rows = drawn("error_types")
    six, all_of_them = (traces(figure, numbers) for figure in figures.values())
    for run in six:
        assert [*six[run].x, *all_of_them[run].x] == column(rows, "error", run=run)
        gains = [*six[run].y, *all_of_them[run].y]
        np.testing.assert_array_equal(gains, column(rows, "gain", run=run))
    assert list(all_of_them["base"].x) == ["false positives", "false negatives"]
    assert np.isnan(six[RUNS[1]].y).all()  # no detections


def test_lrp(drawn, numbers):
    figures, rows = drawn("lrp")
    means, errors, thresholds = (traces(figure, numbers) for figure in figures.values())
    for run in means:
        for title, name in zip(means[run].x, ("olrp", "localisation", "fp", "fn"), strict=True):
            place = means[run].x.index(title)
            assert [means[run].y[place]] == column(rows, name, run=run, **{"class": None})
        for found, name in ((errors, "olrp"), (thresholds, "threshold")):
            assert list(found[run].x) == list(map(escaped, CLASSES))
            values = [column(rows, name, run=run, **{"class": label})[0] for label in CLASSES]
            np.testing.assert_array_equal(found[run].y, values)
        assert np.isnan(thresholds[run].y[1])
    assert means["base"].x == ("oLRP", "oLRP Loc", "oLRP FP", "oLRP FN")


def test_score_iou(drawn, numbers):
    figures, _ = drawn("score_iou")
    truth = numbers["score_iou"].counts
    assert list(figures) == list(truth)
    edges = np.linspace(0, 1, 26)
    for run, figure in figures.items():
        (cells,) = figure.data
        np.testing.assert_array_equal(cells.customdata.T, truth[run])
        np.testing.assert_allclose(
            10.0**cells.z.T, np.where(truth[run] > 0, truth[run], np.nan), rtol=1e-5
        )
        assert cells.x.tolist() == cells.y.tolist() == edges.tolist()
        assert cells.text[3][1] == "score 0.04 to 0.08<br>IoU 0.12 to 0.16"
        assert figure.layout.coloraxis.cmax == np.log10(max(c.max() for c in truth.values()))


def check_binned(scores, changes, rows, numbers):
    means, differences = traces(scores, numbers), traces(changes, numbers, skip=1)
    for found, name in ((means, "mean_score"), (differences, "difference")):
        for run, trace in found.items():
            num_shown = len(trace.x)
            np.testing.assert_array_equal(trace.y, column(rows, name, run=run)[:num_shown])
            counts = column(rows, "candidates", run=run)
            assert trace.customdata.tolist() == counts[:num_shown]
            assert counts[num_shown - 1] > 0
            assert not any(counts[num_shown:])


def test_score_by_rank(drawn, numbers):
    figures, rows = drawn("score_by_rank")
    for i, sign in enumerate(("positives", "negatives")):
        scores, changes = list(figures.values())[2 * i : 2 * i + 2]
        check_binned(scores, changes, [row for row in rows if row["sign"] == sign], numbers)
        assert scores.data[0].x[:4].tolist() == ["0", "1", "2 to 3", "4 to 7"]


def test_score_by_iou(drawn, numbers):
    figures, rows = drawn("score_by_iou")
    scores, changes = figures.values()
    check_binned(scores, changes, rows, numbers)
    assert scores.data[0].x[3] == "0.3 to 0.4"
