"""A drawing shows the numbers of its study, and no others."""

import itertools

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, QuadMesh

from imbdet.figures.lrp_table import COMPONENTS
from tests.figures.comparisons import RUNS, all_comparisons
from tests.report.factories import all_numbers

same = np.testing.assert_array_equal
close = np.testing.assert_allclose


@pytest.fixture(scope="module")
def studies():
    """The numbers of each study and the axes of its drawing, by its name."""
    numbers = {**all_numbers(), **all_comparisons(3)}
    assert [study.name for study in numbers.values()] == list(numbers)
    return {name: (study, study.draw().axes) for name, study in numbers.items()}


def steps(axes):
    """The values of all histograms, in the order in which they were drawn."""
    return [patch.get_data().values for patch in axes.patches]


def curves(axes):
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def bars(axes):
    """The lengths of the bars of each group, upright ones or not."""
    return [[rectangle.get_height() for rectangle in bars] for bars in axes.containers]


def test_sampling_distribution(studies):
    study, axes = studies["sampling_distribution"]
    shown = [panel.findobj(QuadMesh)[0].get_array().filled(0) for panel in axes[:18:3]]
    for shares, (selection, sign) in zip(
        shown,
        itertools.product(("positives", "negatives"), ("random", "hard", "prime")),
        strict=True,
    ):
        counts = study.counts[sign, selection][:, :-1]
        close(shares, counts.T / counts.sum())


def test_hardness(studies):
    study, (axes,) = studies["hardness"]
    for shares, counts in zip(steps(axes), study.counts.values(), strict=True):
        close(shares, (counts / counts.sum())[: len(shares)])
        assert not counts[len(shares) :].any()


@pytest.mark.parametrize("name", ["gradients_cls", "gradients_box"])
def test_gradients(studies, name):
    study, (many, pulls, adds) = studies[name]
    same(steps(many), list(study.counts.values()))
    same(steps(adds), list(study.shares.values()))
    for loss, values in curves(pulls).items():
        same(values, study.curves[loss])


def test_ranks(studies):
    study, (_, axes) = studies["ranks"]
    for heights, counts in zip(bars(axes), (study.every, study.best), strict=True):
        close(heights, counts / counts.sum())


def test_assigners(studies):
    study, (left, right) = studies["assigners"]
    used = study.objects > 0
    same(left.images[0].get_array().filled(np.nan), study.per_object[:, used])
    same(right.images[0].get_array().filled(np.nan), study.shares)


def test_overlap(studies):
    study, axes = studies["overlap"]
    for panel, overlap in zip(axes, study.of_sign.values(), strict=False):
        same(panel.images[0].get_array().filled(np.nan), overlap.jaccard)


def test_calibration(studies):
    study, (top, bottom) = studies["calibration"]
    same(steps(top), [np.nan_to_num(study.shares)])
    same(curves(top)["at the mean score"], study.shares)
    same(steps(bottom), [study.counts])


def test_distributions(studies):
    study, (entries, weights) = studies["distributions"]
    same(steps(entries), list(study.shares.values()))
    same(steps(weights), list(study.weights.values()))


def test_score_shift(studies):
    study, (left, right) = studies["score_shift"]
    assert sum(bars(left)[0]) == len(study.thresholds)
    same(right.lines[1].get_xydata(), np.stack([study.common, study.own], axis=1))


def test_imbalance(studies):
    study, (classes, sizes, owned) = studies["imbalance"]
    same(curves(classes)["objects"], study.objects)
    same(curves(classes)["candidates"], [*study.positives, study.num_negatives])
    same(curves(classes)["chosen"], study.chosen)
    same(steps(sizes), [study.sizes])
    (heights,) = bars(owned)
    same(heights, np.trim_zeros(study.owned, "b"))


def test_gradient_ratio(studies):
    study, (axes,) = studies["gradient_ratio"]
    shown = [points.get_offsets() for points in axes.findobj(PathCollection)]
    for offsets, values in zip(shown, (study.count_ratios, study.ratios), strict=True):
        same(offsets, np.stack([study.frequencies.counts, values], axis=1))


def test_class_scores(studies):
    study, (axes,) = studies["class_scores"]
    (points,) = axes.findobj(PathCollection)
    same(points.get_offsets(), np.stack([study.frequencies.counts, study.mean_scores], axis=1))
    same(axes.lines[0].get_ydata(), [study.score_sums.sum() / study.positives.sum()] * 2)


def test_boosting(studies):
    study, axes = studies["boosting"]
    for panel, threshold in zip(axes, (0.5, 0.75), strict=True):
        expected = [curve for (_, iou), curve in study.precisions.items() if iou == threshold]
        same(list(curves(panel).values()), expected)


def test_training_curves(studies):
    study, axes = studies["curves"]
    for panel, (scalar, of_runs) in zip(axes, study.curves.items(), strict=False):
        shown = [line.get_ydata() for line in panel.lines]
        if scalar == "AP":
            expected = [curve.values for curve in of_runs.values()]
        else:
            expected = [x for curve in of_runs.values() for x in (curve.values, curve.smoothed)]
        same(shown, expected)


def check_estimates(axes, of_runs):
    """Check points with their intervals, and return which points are hollow."""
    points, lines = axes.findobj(PathCollection), axes.findobj(LineCollection)
    hollow = []
    for found, intervals, estimates in zip(points, lines, of_runs, strict=True):
        close(found.get_offsets()[:, 1], [e.value for e in estimates])
        ends = [segment[:, 1] for segment in intervals.get_segments()]
        close(ends, [(e.low, e.high) for e in estimates])
        hollow.append([tuple(face) == (1, 1, 1, 1) for face in found.get_facecolors()])
    return hollow


def test_coco(studies):
    study, (values, changes) = studies["coco"]
    hollow = check_estimates(values, [of_run.values() for of_run in study.values.values()])
    assert not np.any(hollow)
    differences = [list(of_run.values()) for of_run in study.differences.values()]
    hollow = check_estimates(changes, differences)
    assert hollow == [[d.verdict == "undecided" for d in of_run] for of_run in differences]


def test_class_ap(studies):
    study, (axes,) = studies["class_ap"]
    for rectangles, lines, differences in zip(
        axes.containers, axes.findobj(LineCollection), study.differences.values(), strict=True
    ):
        close([bar.get_width() for bar in rectangles], [d.value for d in differences])
        ends = [segment[:, 0] for segment in lines.get_segments()]
        close(ends, [(d.low, d.high) for d in differences])


def test_error_types(studies):
    study, (six, all_of_them) = studies["error_types"]
    for run, gains in enumerate(study.gains.values()):
        same([*bars(six)[run], *bars(all_of_them)[run]], list(gains.values()))
    assert np.isnan(bars(six)[RUNS.index("<b>bold")]).all()  # no detections


def test_lrp(studies):
    study, (means, errors, thresholds) = studies["lrp"]
    same(bars(means), [[study.means(run)[name] for name in COMPONENTS] for run in study.values])
    for panel, name in ((errors, "olrp"), (thresholds, "threshold")):
        expected = [[getattr(value, name) for value in values] for values in study.values.values()]
        same([line.get_xdata() for line in panel.lines], expected)


def test_score_iou(studies):
    study, axes = studies["score_iou"]
    for panel, counts in zip(axes, study.counts.values(), strict=False):
        same(panel.findobj(QuadMesh)[0].get_array().filled(0), counts.T)


def check_binned(panels, scores):
    means, changes = ([line.get_ydata() for line in panel.lines] for panel in panels)
    num_shown = len(means[0])
    same(means, [values[:num_shown] for values in scores.means.values()])
    same(changes[:-1], [values[:num_shown] for values in scores.differences.values()])
    assert not any(counts[num_shown:].any() for counts in scores.counts.values())


def test_score_by_rank(studies):
    study, axes = studies["score_by_rank"]
    for i, scores in enumerate(study.of_sign.values()):
        check_binned(axes[i::2], scores)


def test_score_by_iou(studies):
    study, axes = studies["score_by_iou"]
    check_binned(axes, study.of_positives)


def test_same_positives(studies):
    study, (axes,) = studies["same_positives"]
    for line, values in zip(axes.lines, study.jaccard.values(), strict=True):
        same(line.get_xdata(), values)
