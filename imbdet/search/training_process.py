"""One training in a process of its own."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# File of the error output of a training.
_ERRORS = "stderr.txt"
# File in the folder of a training that makes it stop, on any machine.
STOP_FILE = ".stop"
# Seconds between checks for this file.
_PERIOD = 1.0


def run_training(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    wait: Callable[[subprocess.Popen[bytes]], int],
) -> str:
    """Run a training to its end.

    Args:
        command: the program and its arguments.
        folder: existing folder for its error output.
        environment: environment variables of the process.
        wait: function that waits for the process, which signals of the terminal do not reach, and
            returns its exit status.

    Returns:
        What went wrong, "" for nothing.

    Raises:
        OSError: the process cannot be started.
    """
    with open(folder / _ERRORS, "w+", errors="replace") as errors:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        status = wait(process)
        errors.seek(0)
        last_line = (errors.read().strip().splitlines() or [""])[-1]
    return f"with exit status {status}: {last_line}" if status else ""


def run_training_there(command: Sequence[str], folder: Path, working_folder: str) -> str:
    """Run a training on another machine, until its end or until the folder has a STOP_FILE.

    Args:
        command: the program and its arguments.
        folder: folder for its error output.
        working_folder: folder that relative paths start from.

    Returns:
        What went wrong, "" for nothing.
    """
    # Ray interrupts a task that is cancelled; one that has begun ends by the file.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir(working_folder)

    def wait(process: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return process.wait(_PERIOD)
            except subprocess.TimeoutExpired:
                if (folder / STOP_FILE).exists():
                    process.terminate()
                    return process.wait()

    return run_training(command, folder, os.environ, wait)
