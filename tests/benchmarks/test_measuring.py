"""benchmarks/measuring.py by a simulated clock: whose turn it is, and what is compared."""

import numpy as np
import pytest

from tests.test_configs import CONFIGS


@pytest.fixture
def measuring(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import measuring

    return measuring


@pytest.fixture
def clock(measuring, monkeypatch):
    """A clock with seconds of the wall; a process has half of them."""
    clock = [0.0]
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(measuring.time, "process_time", lambda: clock[0] / 2)
    return clock


def played(clock, name, seconds, calls):
    """A contender that takes given seconds, one number for each call."""
    seconds = iter(seconds)

    def run():
        calls.append(name)
        clock[0] += next(seconds)

    return run


def test_contenders_run_in_turns_and_the_first_turn_warms_up(measuring, clock):
    calls = []
    contenders = {
        "a": played(clock, "a", [100, 1, 2, 6], calls),
        "b": played(clock, "b", [200, 4, 8, 16], calls),
    }
    timings = measuring.time_in_turns(contenders, 3, "cpu")
    assert calls == ["a", "b"] * 4
    assert timings == {"a": ([1, 2, 6], [0.5, 1, 3]), "b": ([4, 8, 16], [2, 4, 8])}
    assert timings["a"].median("cpu") == 1
    assert timings["a"].median("cuda") == 2


def test_seldom_contenders_run_in_the_first_turns_that_count(measuring, clock):
    calls = []
    contenders = {
        "a": played(clock, "a", [100, 1, 1, 1], calls),
        "slow": played(clock, "slow", [50, 70], calls),
    }
    timings = measuring.time_in_turns(contenders, 3, "cpu", seldom={"slow": 2})
    assert calls == ["a", "a", "slow", "a", "slow", "a"]
    assert timings["slow"].wall == [50, 70]
    assert timings["a"].wall == [1, 1, 1]


def test_a_gpu_is_waited_for_before_the_clock_is_read(measuring, clock, monkeypatch):
    """Unfinished work then counts as time of the contender that asked for it."""
    asked = []

    def wait():
        clock[0] += sum(asked)
        asked.clear()

    monkeypatch.setattr(measuring.torch.cuda, "synchronize", wait)
    contenders = {"a": lambda: asked.append(3), "b": lambda: asked.append(5)}
    timings = measuring.time_in_turns(contenders, 2, "cuda")
    assert {name: timing.wall for name, timing in timings.items()} == {"a": [3, 3], "b": [5, 5]}
    asked.append(7)
    before = clock[0]
    assert measuring.now("cuda") == before + 7
    assert measuring.now("cpu") == clock[0] / 2


def test_a_ratio_is_of_the_slow_over_the_fast(measuring):
    ratio, low, high = measuring.compare([6.0, 6.0, 6.0], [2.0, 2.0, 2.0])
    assert ratio == low == high == 3
    generator = np.random.default_rng(0)
    slow, fast = (mean + generator.normal(size=200) for mean in (30, 10))
    ratio, low, high = measuring.compare(list(slow), list(fast))
    assert ratio == np.median(slow) / np.median(fast)
    assert low < ratio < high
    # 1.96 standard errors of the quotient of two medians of 200 normal values each.
    error = 1.253 / 200**0.5 * ratio * (1 / 30**2 + 1 / 10**2) ** 0.5
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.3)


def test_the_interval_of_a_median_is_that_of_order_statistics(measuring):
    values = np.random.default_rng(0).permutation(np.arange(1.0, 102.0))
    median, low, high = measuring.median_interval(values)
    assert median == 51
    # Of 101 values, the 41st and the 61st hold the median with a probability of 95 %.
    assert low == pytest.approx(41, abs=1)
    assert high == pytest.approx(61, abs=1)
