"""benchmarks/forecast.py: the values that it correlates, and their table."""

import re

import numpy as np
import pytest

from imbdet.errors import UserError
from tests.test_configs import CONFIGS


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import forecast

    monkeypatch.setattr(forecast, "NUM_RESAMPLES", 300)
    return forecast


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(2, 25, 3))


def results_of(correlation):
    """Results of two rules, the worse one first."""
    methods = {
        name: {
            "runs": [
                {"seed": seed, "val": {"AP": ap + seed}, "forecast": {"alignment": -ap / 10}}
                for seed in (1, 2)
            ]
        }
        for name, ap in {"a": 1.0, "b": 11.0}.items()
    }
    return {"rules": 25, "methods": methods, "correlations": {"alignment": correlation}}


def test_there_are_rules_enough_and_each_has_pieces(benchmark):
    assert len(set(benchmark.RULES)) >= 20
    assert all(benchmark.find_pieces(rule) for rule in benchmark.RULES)


@pytest.mark.parametrize(("sign", "verdict"), [(1, "yes: "), (-1, "no: ")])
def test_an_order_that_holds_is_found(benchmark, noise, sign, verdict):
    truth = np.arange(25.0)[:, None]
    found = benchmark.correlate(sign * truth + noise[0], truth + noise[1])
    assert sign * found["spearman"] > 0.9
    assert found["low"] <= found["spearman"] <= found["high"]
    assert verdict in benchmark.format_table(results_of(found))


def test_chance_is_undecided(benchmark, noise):
    found = benchmark.correlate(*noise)
    assert found["low"] < 0 < found["high"]
    assert "undecided, since" in benchmark.format_table(results_of(found))


def test_rules_stand_in_the_order_of_their_ap(benchmark):
    text = benchmark.format_table(results_of({"spearman": 0.5, "low": 0.25, "high": 0.75}))
    rows = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["rule", "AP", "AP - a", "alignment"]
    assert rows[2:4] == [
        ["b", "12.5 ± 0.7", "+10.0 [+10.0, +10.0]", "-1.10 ± 0.00"],
        ["a", "2.5 ± 0.7", "", "-0.10 ± 0.00"],
    ]
    assert rows[-1] == ["alignment", "+0.50 [+0.25, +0.75]"]


def test_rules_that_are_level_have_no_order(benchmark, noise):
    with pytest.raises(UserError, match="no order to correlate"):
        benchmark.correlate(noise[0], 0 * noise[1])


def test_rules_without_a_gradient_have_no_part(benchmark):
    def forecast_of(value):
        losses = {"likelihood": {"value": value}, "ranking": {"value": value}}
        return {"alignment": {"value": value}, "by_loss": losses}

    aps = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 9.0}
    methods = {
        name: {"runs": [{"seed": seed, "val": {"AP": ap + seed}} for seed in (1, 2)]}
        for name, ap in aps.items()
    }
    values = {"a": 0.1, "b": 0.2, "c": 0.3, "d": None}
    forecasts = {seed: {n: forecast_of(v) for n, v in values.items()} for seed in (1, 2)}
    results = benchmark.gather({"methods": methods}, forecasts)
    assert results["rules"] == 3
    assert {one["spearman"] for one in results["correlations"].values()} == {1.0}
    assert results["methods"]["d"]["runs"][0]["forecast"]["ranking"] is None
