"""A drawing shows the numbers of its table, no others."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from imbdet.report.analysis_studies import ANALYSIS
from imbdet.report.sources import read_table
from tests.report.factories import all_numbers


@pytest.fixture(scope="module")
def numbers():
    return all_numbers()


@pytest.fixture
def drawn(numbers, tmp_path):
    """A function that draws a study from its file: plots by title, and the table."""

    def draw(name):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(numbers[name].table(), path)
        table = read_table(path)
        return {plot.title: plot.figure for plot in ANALYSIS[name].draw(table)}, table

    return draw


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_every_figure_of_an_analysis_is_drawn(numbers):
    assert ANALYSIS.keys() == numbers.keys()


def test_sampling_distribution(drawn, numbers):
    figures, table = drawn("sampling_distribution")
    assert len(figures) == 6
    for title, figure in figures.items():
        selection, sign = title.split()
        cells, above, right = figure.data
        counts = numbers["sampling_distribution"].counts[selection, sign]
        # Bins that are empty everywhere may be missing or joined.
        np.testing.assert_array_equal(
            cells.customdata.T[cells.customdata.T > 0], counts[counts > 0]
        )
        np.testing.assert_array_equal(above.y[:-1][above.y[:-1] > 0], rest(counts.sum(axis=1)))
        np.testing.assert_array_equal(right.x[:-1][right.x[:-1] > 0], rest(counts.sum(axis=0)))
        shares = 10.0 ** cells.z[cells.customdata > 0]
        np.testing.assert_allclose(shares * counts.sum(), rest(cells.customdata), rtol=1e-5)
        assert np.isnan(cells.z[cells.customdata == 0]).all()
    row = {name: values[0] for name, values in table.items()}
    cells = figures[f"{row['selection']} {row['sign']}"].data[0]
    text = f"IoU {row['iou_from']:.3g} to {row['iou_to']:.3g}"
    found = np.char.startswith(cells.text.astype(str), text) & (cells.customdata == row["count"])
    assert found.any()


def rest(counts):
    return counts[counts > 0]


def test_hardness(drawn):
    figures, table = drawn("hardness")
    for name, trace in traces(figures["Negatives by IoU"]).items():
        used = len(trace.customdata) - 1
        np.testing.assert_array_equal(trace.customdata[:-1], table[name][:used])
        assert not table[name][used:].any()
        np.testing.assert_allclose(trace.y[:-1] * table[name].sum(), table[name][:used])
        np.testing.assert_array_equal(trace.x[:-1], table["iou_from"][:used])


@pytest.mark.parametrize("name", ["gradients_cls", "gradients_box"])
def test_gradients(drawn, name):
    figures, table = drawn(name)
    many, pulls, adds = figures.values()
    for kind, trace in traces(many).items():
        np.testing.assert_array_equal(trace.y[:-1], table[kind])
        assert trace.x.tolist() == [*table["g_from"], table["g_to"][-1]]
    total = sum(table[kind] for kind in traces(many))
    assert len(traces(adds)) == 3
    for loss, trace in traces(adds).items():
        np.testing.assert_array_equal(trace.y[:-1], table[f"share_of_{loss}"])
        means = traces(pulls)[loss].y[:-1]
        np.testing.assert_allclose(
            (means * total)[total > 0], table[f"gradient_of_{loss}"][total > 0]
        )
        assert np.isnan(means[total == 0]).all()


def test_ranks(drawn):
    figures, table = drawn("ranks")
    shown = traces(figures["Where positives stand"])
    for name, column in {
        "all positives": "positives",
        "best of each object": "best_of_object",
    }.items():
        np.testing.assert_array_equal(shown[name].customdata, table[column])
        np.testing.assert_allclose(shown[name].y * table[column].sum(), table[column])
    assert shown["all positives"].x[:4] == ("0", "1", "≤ 3", "≤ 7")


def test_overlap(drawn, numbers):
    figures, _ = drawn("overlap")
    for sign, overlap in numbers["overlap"].of_sign.items():
        (matrix,) = figures[sign].data
        np.testing.assert_array_equal(matrix.z, overlap.jaccard)
        np.testing.assert_array_equal(matrix.customdata, overlap.common)
        assert list(matrix.y) == list(overlap.samplers)


def test_calibration(drawn):
    figures, table = drawn("calibration")
    shown = traces(figures["Reliability"])
    np.testing.assert_array_equal(shown["share right"].y[:-1], table["share_of_positives"])
    np.testing.assert_array_equal(shown["at the mean score"].x, table["mean_score"])
    counts = traces(figures["How many have that score"])
    np.testing.assert_array_equal(counts["entries"].y[:-1], table["entries"])
    np.testing.assert_array_equal(counts["right entries"].y[:-1], table["positives"])


def test_distributions(drawn, numbers):
    figures, table = drawn("distributions")
    entries = traces(figures["As they are"])
    weights = traces(figures["As DR loss weighs them"])
    for sign, name in {"positives": "P⁺", "negatives": "P⁻"}.items():
        mean = numbers["distributions"].means[sign]
        np.testing.assert_array_equal(entries[sign].y[:-1], numbers["distributions"].shares[sign])
        own = weights[f"{sign}, {name} {mean:.2f}"]
        np.testing.assert_array_equal(own.y[:-1], table[f"weight_of_{sign}"])
        assert weights[name].x.tolist() == [mean, mean]


def test_score_shift(drawn, numbers):
    figures, _ = drawn("score_shift")
    truth = numbers["score_shift"]
    histogram = traces(figures["Thresholds"])
    assert histogram["images"].y[:-1].sum() == len(truth.thresholds) == 2
    assert set(histogram["best for all together"].x) == {truth.common_threshold}
    images = traces(figures["Their F1 scores"])["an image"]
    np.testing.assert_array_equal(images.x, truth.common)
    np.testing.assert_array_equal(images.y, truth.own)


def test_imbalance(drawn, numbers):
    figures, _ = drawn("imbalance")
    truth = numbers["imbalance"]
    classes = traces(figures["Classes"])
    np.testing.assert_array_equal(classes["objects"].y, truth.objects)
    assert classes["candidates"].y.tolist() == [*truth.positives, truth.num_negatives]
    names = [name.replace("<", "&lt;").replace(">", "&gt;") for name in truth.classes]
    assert list(classes["candidates"].x) == [*names, "background"]
    for title, counts in {"Sizes": truth.sizes, "Positives of an object": truth.owned}.items():
        (bars,) = figures[title].data
        assert bars.y.tolist() == np.trim_zeros(counts).tolist()


def test_boosting(drawn, numbers):
    figures, _ = drawn("boosting")
    for (variant, threshold), curve in numbers["boosting"].precisions.items():
        name = f"{variant}: AP {100 * curve.mean():.1f}"  # at this IoU, not the 12.5 over all
        trace = traces(figures[f"IoU {threshold:g}"])[name]
        np.testing.assert_array_equal(trace.y, curve)
        np.testing.assert_allclose(trace.x, np.linspace(0, 1, 101))
