"""benchmarks/search.py simulates searches, for some of which the truth is known."""

import importlib.util

import pytest

from tests.test_configs import CONFIGS


@pytest.fixture(scope="module")
def benchmark():
    path = CONFIGS.parent / "benchmarks" / "search.py"
    spec = importlib.util.spec_from_file_location("search_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_method_that_is_ahead_is_found_with_half_the_budget(benchmark):
    world = dict(benchmark.worlds())["losses on shapes"]
    assert world.best == "dr"
    assert world.ahead == ["ap", "dr"]
    row = benchmark.repeat("", world, seeds=3, repetitions=40)
    assert float(row["one 3 ahead found"]) >= 90
    assert float(row["cost of the grid"].removesuffix(" %")) <= 50


def test_identical_methods_are_undecided(benchmark):
    world = dict(benchmark.worlds())["two identical methods"]
    row = benchmark.repeat("", world, seeds=3, repetitions=100)
    assert float(row["final: undecided"]) >= 95
    assert float(row["a false decision"]) <= 5
    assert row["best found"] == ""
