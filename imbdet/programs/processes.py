"""Run other programs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imbdet.programs.signals import Stopped, passing_on


def path_of(program: str) -> str:
    """The path of a program beside the running Python, relative to the working directory.

    Args:
        program: name, such as "tensorboard"; "python" is the running Python.
    """
    python = Path(sys.executable)
    return os.path.relpath(python if program == "python" else python.with_name(program))


def wait_for(command: Sequence[str], **options: Any) -> int:
    """Run a program; pass signals on to it, and wait until it has ended.

    Args:
        command: the program and its arguments.
        options: keyword arguments of ``subprocess.Popen``.

    Returns:
        Its exit status.

    Raises:
        Stopped: a signal arrived, and the program has ended.
    """
    processes: list[subprocess.Popen[Any]] = []

    def send(number: int) -> None:
        for process in processes:
            process.send_signal(number)

    with passing_on(send) as received, subprocess.Popen(command, **options) as process:
        processes.append(process)
        for number in received:  # those that came before it started
            process.send_signal(number)
        status = process.wait()
    if received:
        raise Stopped(received[0])
    return status
