"""benchmarks/image_noise.py measures how much trainings of a search vary with the images."""

import json

import numpy as np
import pytest

from imbdet.search.halving import Measured, Task
from imbdet.search.space import Arm
from imbdet.search.storage import open_storage, sqlite_url
from imbdet.search.trials import Trials
from tests.test_configs import CONFIGS


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import image_noise

    return image_noise


def test_variances_of_methods_and_seeds_are_told_apart(benchmark):
    rng = np.random.default_rng(0)
    num_groups, of_method, of_seed = 20_000, 3.0, 4.0
    # Scaled so that the jackknife's variance of one AP is the sum of the squares of the two.
    scale = num_groups**-0.5
    measured = {}
    for arm in "abc":
        shared = rng.normal(0, of_method * scale, num_groups)
        for seed in range(3):
            without = 50 + shared + rng.normal(0, of_seed * scale, num_groups)
            measured[Task(100, seed, arm)] = Measured(np.append(50, without), 300, 1.0)
    (noise,) = benchmark.noise_of(measured)
    assert noise.iteration == 100
    assert noise.variance == pytest.approx(2 * (of_method**2 + of_seed**2), rel=0.03)
    assert noise.of_methods == pytest.approx(9 / 25, abs=0.03)


def test_what_methods_share_is_no_noise_of_differences(benchmark):
    images = np.random.default_rng(0).normal(50, 1, 30)
    measured = {
        Task(100, seed, arm): Measured(images + level, 30, 1.0)
        for seed in range(2)
        for level, arm in enumerate("ab")
    }
    ((_, variance, _),) = benchmark.noise_of(
        {**measured, Task(100, 0, "a"): Measured(images + np.linspace(0, 1e-6, 30), 30, 1.0)}
    )
    assert variance < 1e-9


def test_rungs_that_tell_nothing_are_left_out(benchmark):
    ap = np.arange(5.0)
    one_method = {Task(10, seed, "a"): Measured(ap, 5, 1.0) for seed in range(3)}
    one_seed = {Task(20, 0, arm): Measured(ap, 5, 1.0) for arm in "ab"}
    assert list(benchmark.noise_of({**one_method, **one_seed})) == []


def test_reads_both_studies_of_a_search(benchmark, tmp_path, capsys):
    storage = open_storage(sqlite_url(tmp_path / "search.db"))
    arms = {name: Arm(name, name, {"loss": name}, None, [], {}) for name in "ab"}
    rng = np.random.default_rng(0)
    for study, iterations in {"imbdet": [10, 20], "imbdet-final": [20]}.items():
        trials = Trials(storage, study, {"seeds": [1, 2]}, arms)
        for task in [Task(it, seed, arm) for it in iterations for seed in (1, 2) for arm in arms]:
            _, trial_id = trials.claim([task])
            measured = Measured(rng.normal(50, 1, 31), 30, 1.0)
            trials.report(trial_id, task, measured, is_end=task.iteration == 20)
    written = tmp_path / "noise.json"
    benchmark.main([str(tmp_path), "--json", str(written)])
    at = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert at == ["iteration 10", "iteration 20", "iteration 20"]
    results = json.loads(written.read_text())
    assert list(results["errors"]) == ["10", "20"]
    assert all(error > 0 for error in results["errors"].values())


def test_a_folder_without_a_search_is_named(benchmark, tmp_path):
    with pytest.raises(benchmark.UserError, match="is not there: name the --output"):
        benchmark.main([str(tmp_path)])
