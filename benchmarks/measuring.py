"""Time and memory of functions, on a machine that may do other work as well."""

import ctypes
import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch


class Timing(NamedTuple):
    """Seconds of each repetition: of the wall clock, and of the process on all its CPU threads."""

    wall: list[float]
    cpu: list[float]

    def seconds(self, device: str) -> list[float]:
        """Seconds to compare: CPU time, without other programs, or on a GPU the wall clock's."""
        return self.cpu if device == "cpu" else self.wall

    def median(self, device: str) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds(device))


def now(device: str) -> float:
    """Seconds of the process on a CPU, without other programs; otherwise of the wall clock."""
    _wait(device)
    return time.process_time() if device == "cpu" else time.perf_counter()


def time_in_turns(
    contenders: Mapping[str, Callable[[], Any]],
    repetitions: int,
    device: str,
    seldom: Mapping[str, int] | None = None,
) -> dict[str, Timing]:
    """Run the contenders in turns, so that other load on the machine affects all of them.

    Args:
        contenders: functions without arguments.
        repetitions: number of runs of each, after one run to warm up.
        device: "cpu" or "cuda", which is waited for.
        seldom: slow contenders that run less often and without warming up.
    """
    seldom = seldom or {}
    timings = {name: Timing([], []) for name in contenders}
    for turn in range(-1, repetitions):
        for name, run in contenders.items():
            if name in seldom and not 0 <= turn < seldom[name]:
                continue
            _wait(device)
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            _wait(device)
            if turn >= 0:
                timings[name].wall.append(time.perf_counter() - wall)
                timings[name].cpu.append(time.process_time() - cpu)
    return timings


def compare(slow: list[float], fast: list[float]) -> tuple[float, float, float]:
    """Ratio of the medians and its bootstrap interval of 95 %."""
    generator = np.random.default_rng(0)
    medians = [np.median(generator.choice(x, (10_000, len(x))), axis=1) for x in (slow, fast)]
    low, high = np.quantile(medians[0] / medians[1], [0.025, 0.975])
    return statistics.median(slow) / statistics.median(fast), float(low), float(high)


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Median and its bootstrap interval of 95 %."""
    generator = np.random.default_rng(0)
    medians = np.median(generator.choice(values, (10_000, len(values))), axis=1)
    return tuple(float(v) for v in (np.median(values), *np.quantile(medians, [0.025, 0.975])))


def peak_memory(run: Callable[[], Any], device: str) -> int:
    """Bytes that a function needs at its peak beyond those before it (on a CPU, on Linux alone)."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)  # memory that is free but held would hide what is needed
    Path("/proc/self/clear_refs").write_text("5")  # the highest size so far is forgotten
    before = highest_size()
    run()
    return highest_size() - before


def highest_size() -> int:
    """Highest resident size of the process in bytes."""
    (size,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(size)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
