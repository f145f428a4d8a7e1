"""Colours and marks that distinguish runs in a drawing."""

import pytest

from imbdet.drawing.run_styles import run_bars, run_lines, run_points


@pytest.mark.parametrize("styles", [run_lines, run_bars, run_points])
@pytest.mark.parametrize("number", [2, 5, 6, 10, 11, 25, 50])
def test_no_two_runs_are_drawn_alike(styles, number):
    found = list(styles(f"run {i}" for i in range(number)).values())
    assert all(found.count(style) == 1 for style in found)
