"""The worker processes of data loaders: what may end them, and the report when one dies."""

import multiprocessing
import os
import signal
import subprocess
import time

import pytest

from imbdet.data import build_test_loader, build_train_loader, explained_worker_deaths
from tests.messages import error_of


def test_a_killed_worker_is_said_at_once(toy):
    others = set(multiprocessing.active_children())  # those of another test are about to end
    batches = iter(build_train_loader(toy.config("DATALOADER.NUM_WORKERS", 2)))
    next(batches)
    worker, _ = set(multiprocessing.active_children()) - others
    start = time.monotonic()

    @explained_worker_deaths()
    def train_on():
        os.kill(worker.pid, signal.SIGKILL)
        for _ in batches:
            time.sleep(0.01)

    assert "worker died (" in error_of(train_on)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("build", [build_train_loader, lambda cfg: build_test_loader(cfg, "toy")])
def test_workers_go_on_when_all_of_a_job_is_told_to_stop(build, toy):
    others = set(multiprocessing.active_children())
    batches = iter(build(toy.config("DATALOADER.NUM_WORKERS", 1)))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - others
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    for _ in range(3):  # two of them wait already
        next(batches)
    assert worker.is_alive()


def test_workers_end_when_their_parent_says_so(toy):
    others = set(multiprocessing.active_children())
    batches = iter(build_train_loader(toy.config("DATALOADER.NUM_WORKERS", 1)))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - others
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0
