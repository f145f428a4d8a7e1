"""Drawings have room for the names of runs, whatever these are."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from imbdet.drawing.run_styles import add_legend
from imbdet.drawing.style import new_figure, save
from imbdet.figures.score_iou import EDGES, ScoreIoU
from tests.figures.comparisons import all_comparisons
from tests.ink import is_cut_off


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(("number", "columns"), [(2, 2), (7, 7), (8, 4), (15, 5)])
def test_rows_of_a_legend_are_of_one_length(number, columns):
    figure = new_figure(2.0)
    add_legend(figure, {f"run{i:02}": Line2D([], []) for i in range(number)})
    assert figure.legends[0]._ncols == columns


def test_every_run_is_in_the_legend():
    figure = new_figure(2.0)
    add_legend(figure, dict.fromkeys(["_base", "$x$"], Line2D([], [])))
    assert legend_of(figure) == ["_base", r"\$x\$"]


@pytest.mark.parametrize("name", ["coco", "error_types", "lrp", "curves", "score_by_iou"])
def test_legends_name_all_runs(name):
    assert legend_of(all_comparisons(3)[name].draw()) == ["base", "<b>bold", "c/seed_1"]


@pytest.mark.parametrize("names", [("retinanet", "ap"), ("b" * 99, "ap", "c")])
def test_titles_of_square_panels_are_not_cut_off(names, tmp_path):
    counts = np.ones([len(EDGES) - 1] * 2, dtype=np.int64)
    counts[5, 0] = 7000
    numbers = ScoreIoU(dict.fromkeys(names, counts), dict.fromkeys(names, (0.18, 0.11)))
    png, _ = save(numbers.draw(), tmp_path / "figure")
    assert not is_cut_off(png)


def test_a_legend_shows_bars_and_points():
    (legend,) = all_comparisons(2)["lrp"].draw().legends
    assert [line.get_marker() for line in legend.findobj(Line2D)] == ["o", "s"]
    hatches = [
        bar.get_hatch() for bar in legend.findobj(Rectangle) if bar is not legend.legendPatch
    ]
    assert hatches == ["", "////"]


def test_points_at_the_end_of_an_axis_are_whole():
    figure = all_comparisons(2)["coco"].draw()
    points = [points for axes in figure.axes for points in axes.findobj(PathCollection)]
    assert len(points) == 3
    assert not any(of_run.get_clip_on() for of_run in points)


def test_undecided_bars_are_hollow():
    numbers = all_comparisons(2)["class_ap"]
    (axes,) = numbers.draw().axes
    for bar, difference in zip(axes.patches, numbers.differences["<b>bold"], strict=True):
        is_hollow = bar.get_facecolor() == (1, 1, 1, 1)
        assert is_hollow == (difference.verdict == "undecided")
