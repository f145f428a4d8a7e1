"""benchmarks/search.py plays searches, some of whose truths are known."""

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


def test_the_known_best_is_found_with_half_the_budget(benchmark):
    world = dict(benchmark.worlds())["losses on shapes"]
    assert world.best == "DR+GIoU"
    row = benchmark.repeat("", world, seeds=3, repetitions=20)
    assert float(row["best found"]) >= 90
    assert float(row["cost of the grid"].removesuffix(" %")) <= 50


def test_identical_methods_are_undecided(benchmark):
    world = dict(benchmark.worlds())["two identical methods"]
    row = benchmark.repeat("", world, seeds=3, repetitions=100)
    assert float(row["final: undecided"]) >= 95
    assert float(row["a false decision"]) <= 5
    assert row["best found"] == ""
