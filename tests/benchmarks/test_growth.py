"""The figure of benchmarks/growth.py, with made-up times."""

import pytest

from tests.test_configs import CONFIGS


def test_times_are_relative_to_the_smallest_size(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import growth

    part = growth.DRAWN[0]
    row = {"part": part, "10": 2.0, "100": 1.0, "1,000": None, "growth": None}
    (panel,) = growth.draw({"objects": [row]}).axes
    (line,) = [line for line in panel.lines if line.get_label() == part]
    assert list(line.get_xdata()) == [10, 100]
    assert line.get_ydata() == pytest.approx([1.0, 0.5])
