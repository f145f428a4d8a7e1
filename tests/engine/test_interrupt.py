"""Signals that end a job of several processes, and a disk that fills up."""

import os
import resource
import signal
import time

import pytest
import torch
from torch import nn

from imbdet.engine import interrupt
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.interrupt import StopOnSignal
from imbdet.programs.signals import hearing
from tests.engine.jobs import start
from tests.messages import assert_says

# isort: split
from detectron2.engine import TrainerBase
from detectron2.utils import comm


@pytest.fixture(autouse=True)
def _heard_ctrl_c():
    # The suite may run in the background, where shells ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Trainer(TrainerBase):
    """A trainer that counts, and calls a function in each iteration."""

    def __init__(self, folder, stop, during_step):
        super().__init__()
        self.model = nn.Linear(100, 100)
        self.checkpointer = SafeCheckpointer(
            self.model, str(folder), save_to_disk=comm.is_main_process()
        )
        self.register_hooks([stop])
        self._during_step = during_step

    def run_step(self):
        self._during_step(self.iter)
        comm.synchronize()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("hearer", ["one process", "all processes", "who started them"])
def test_all_processes_stop_with_one_checkpoint(number, hearer, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(interrupt, "ECHO_TIME", 1000.0)  # the same for a busy machine
    heard = []

    def press(iteration):
        if iteration != 2:
            return
        rank = comm.get_rank()
        if hearer == "all processes" or (hearer == "one process" and rank == 1):
            os.kill(os.getpid(), number)
        if hearer != "one process" and rank == 0:
            os.kill(os.getppid(), number)
        due = {"one process": rank, "all processes": 2, "who started them": 1}[hearer]
        while len(heard) < due:
            time.sleep(0.01)

    def run(args):
        stop = StopOnSignal()

        def hear(number, frame):
            heard.append(number)
            stop.on_signal(number, frame)

        with hearing(hear):
            Trainer(tmp_path, stop, press).train(0, 10)

    assert start(run) == 128 + number
    error = capfd.readouterr().err
    assert error == "Stopped. With --resume, the same command goes on.\n"
    (name,) = {file.name for file in tmp_path.glob("*.pth")}
    assert (tmp_path / "last_checkpoint").read_text() == name
    assert torch.load(tmp_path / name, weights_only=True)["iteration"] == 2


def test_a_second_signal_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupt, "ECHO_TIME", 0.1)

    def press(iteration):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
        raise AssertionError("still here")

    def run(args):
        stop = StopOnSignal()
        with hearing(stop.on_signal):
            Trainer(tmp_path, stop, press).train(0, 10)

    assert start(run) == 143
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, capfd):
    def run(args):
        trainer = Trainer(tmp_path, StopOnSignal(), None)
        trainer.checkpointer.save("model_0000001", iteration=1)
        trainer.checkpointer.writer.wait()
        # A file may not grow beyond this, as if the disk were full.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        trainer.checkpointer.save("model_0000002", iteration=2)
        trainer.checkpointer.writer.wait()
        comm.synchronize()

    assert start(run) == 2
    error = capfd.readouterr().err
    assert_says(error, "error: ", "model_0000002.pth' cannot be written")
    assert error.count("\n") == 1
    assert {file.name for file in tmp_path.iterdir()} == {"model_0000001.pth", "last_checkpoint"}
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
    assert torch.load(tmp_path / "model_0000001.pth", weights_only=True)["iteration"] == 1
