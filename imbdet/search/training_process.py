"""One training in a process of its own."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# What a training says when it fails.
_ERRORS = "stderr.txt"
# In the folder of a training that is to stop, on whatever machine it is.
STOP_FILE = ".stop"
# Seconds between looks at it.
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
        folder: of what it says, which is there.
        environment: of the process.
        wait: waits for the process, which signals of the terminal do not reach, and returns its
            exit status.

    Returns:
        What went wrong, or nothing.

    Raises:
        OSError: it cannot be started.
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
        folder: of what it says.
        working_folder: where relative paths begin.

    Returns:
        What went wrong, or nothing.
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
