"""Runs trainings in parallel, each on a place of its own."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from imbdet.engine.lock import is_locked
from imbdet.errors import UserError
from imbdet.search.training_process import run_training

_TRAIN = (sys.executable, "-m", "imbdet.cli", "train", "--resume")
# Seconds between checks of a folder that a training of a killed program still writes to.
_PERIOD = 1.0


class End(NamedTuple):
    """How a training ended.

    Attributes:
        problem: what went wrong, "" for nothing.
        seconds: seconds that the training took.
        is_stopped: whether it was stopped before its end, and can go on.
    """

    problem: str
    seconds: float
    is_stopped: bool = False


class Launcher:
    """Starts trainings on this machine, one on each place at a time.

    Args:
        gpus: ids of GPUs, each of which is a place; without any there are ``parallel`` places.
        parallel: number of places that share the machine.
        prefix: words that precede each command, such as ``srun``.
    """

    def __init__(self, *, gpus: Sequence[str], parallel: int, prefix: Sequence[str]) -> None:
        self._prefix = prefix
        places = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [{}] * parallel
        self._places: queue.Queue[dict[str, str]] = queue.Queue()
        for place in places:
            self._places.put(place)
        self.num_places = len(places)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopping = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether no training is started any more."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> None:
        """Wait until some seconds have passed, or no training is started any more."""
        self._stopping.wait(seconds)

    def train(self, arguments: Sequence[str], folder: Path) -> End:
        """Wait for a place, and train from the last checkpoint on.

        Args:
            arguments: arguments of ``imbdet train``, without OUTPUT_DIR.
            folder: OUTPUT_DIR of the training.
        """
        place = self._places.get()
        start = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while is_locked(folder) and not self.is_stopping:
                self.wait(_PERIOD)
            if self.is_stopping:
                return End("not started", 0.0, is_stopped=True)
            command = [*self._prefix, *_TRAIN, *arguments, "OUTPUT_DIR", str(folder)]
            problem = self._run(command, folder, place)
        except (OSError, UserError) as error:  # no such launcher, no space, ...
            return End(f"with {error}", 0.0)
        finally:
            self._places.put(place)
        seconds = time.monotonic() - start
        return End(problem, seconds, is_stopped=bool(problem) and self.is_stopping)

    def stop(self) -> None:
        """Have all trainings stop, each with its checkpoint."""
        if not self.is_stopping:
            print("Stopping all trainings, each with its checkpoint.", file=sys.stderr, flush=True)
        self._stopping.set()
        for process in list(self._processes):
            process.terminate()

    def _run(self, command: Sequence[str], folder: Path, place: dict[str, str]) -> str:
        """Run a command, and return what went wrong, "" for nothing."""
        return run_training(command, folder, {**os.environ, **place}, self._wait_for)

    def _wait_for(self, process: subprocess.Popen[bytes]) -> int:
        self._processes.add(process)
        if self.is_stopping:
            process.terminate()
        status = process.wait()
        self._processes.discard(process)
        return status
