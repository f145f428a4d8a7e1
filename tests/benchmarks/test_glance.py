"""benchmarks/glance.py: all comparisons in one figure."""

import json

import pytest
from matplotlib.figure import Figure

from tests.test_configs import CONFIGS

RESULTS = CONFIGS.parent / "docs" / "results"


@pytest.fixture
def glance(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import glance

    return glance


def test_all_comparisons_with_several_seeds_have_a_column(glance):
    found = set()
    for path in RESULTS.glob("*.json"):
        results = json.loads(path.read_text())
        if "correlations" in results:  # a study of forecasts, not of what methods gain
            continue
        methods = results.get("methods", {})
        if len(methods) > 1 and all(len(result["runs"]) > 1 for result in methods.values()):
            found.add(path.stem)
    assert set(glance.COLUMNS) == found


def test_all_cells_of_a_detector_are_drawn_in_the_colours_of_what_is_decided(glance):
    table = glance.gather("retinanet")
    axes = Figure().subplots()
    glance.draw_table(axes, table)
    drawn = [(text.get_text(), text.get_position()) for text in axes.texts]
    heads = [label.get_text() for label in axes.get_xticklabels()]
    assert sorted(drawn) == sorted(
        (found.numbers, (heads.index(head) + 0.5, y + 0.5))
        for y, row in enumerate(table.values())
        for head, found in row.items()
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == list(table)


@pytest.mark.parametrize(
    ("differences", "color"),
    [([1.0, 1.1, 0.9], "DARK"), ([-1.0, -1.1, -0.9], "MIDDLE"), ([1.0, -1.0, 0.5], "UNDECIDED")],
)
def test_a_cell_is_grey_unless_it_is_decided(glance, differences, color):
    from results_table import Difference

    assert glance.color_of(Difference.of(differences)) == getattr(glance, color)
