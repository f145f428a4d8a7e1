"""Names of runs, whatever they are, and room for them."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from imbdet.analysis.figures.style import new_figure, save
from imbdet.compare.figures.binned_scores import draw_score_by_iou
from imbdet.compare.figures.class_ap import draw_class_ap
from imbdet.compare.figures.coco_table import draw_coco_table
from imbdet.compare.figures.curves import draw_curves
from imbdet.compare.figures.error_types import draw_error_types
from imbdet.compare.figures.lrp import draw_lrp
from imbdet.compare.figures.score_iou import draw_score_iou
from imbdet.compare.figures.style import add_legend
from imbdet.compare.score_iou import EDGES, ScoreIoU
from tests.ink import is_cut_off
from tests.report.comparisons import all_comparisons


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


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (draw_coco_table, "coco"),
        (draw_error_types, "error_types"),
        (draw_lrp, "lrp"),
        (draw_curves, "curves"),
        (draw_score_by_iou, "score_by_iou"),
    ],
)
def test_legends_name_all_runs(draw, name):
    assert legend_of(draw(all_comparisons(3)[name])) == ["base", "<b>bold", "c/seed_1"]


@pytest.mark.parametrize("names", [("retinanet", "ap"), ("b" * 99, "ap", "c")])
def test_titles_of_square_panels_are_not_cut_off(names, tmp_path):
    counts = np.ones([len(EDGES) - 1] * 2, dtype=np.int64)
    counts[5, 0] = 7000
    numbers = ScoreIoU(dict.fromkeys(names, counts), dict.fromkeys(names, (0.18, 0.11)))
    png, _ = save(draw_score_iou(numbers), tmp_path / "figure")
    assert not is_cut_off(png)


def test_a_legend_shows_bars_and_points():
    (legend,) = draw_lrp(all_comparisons(2)["lrp"]).legends
    assert [line.get_marker() for line in legend.findobj(Line2D)] == ["o", "s"]
    hatches = [
        bar.get_hatch() for bar in legend.findobj(Rectangle) if bar is not legend.legendPatch
    ]
    assert hatches == ["", "////"]


def test_points_at_the_end_of_an_axis_are_whole():
    figure = draw_coco_table(all_comparisons(2)["coco"])
    points = [points for axes in figure.axes for points in axes.findobj(PathCollection)]
    assert len(points) == 3
    assert not any(of_run.get_clip_on() for of_run in points)


def test_undecided_bars_are_hollow():
    numbers = all_comparisons(2)["class_ap"]
    (axes,) = draw_class_ap(numbers).axes
    for bar, difference in zip(axes.patches, numbers.differences["<b>bold"], strict=True):
        is_hollow = bar.get_facecolor() == (1, 1, 1, 1)
        assert is_hollow == (difference.verdict == "undecided")
