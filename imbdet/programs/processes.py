"""Programs that a program runs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imbdet.programs.signals import Stopped, passing_on


def path_of(program: str) -> str:
    """How a program beside the running Python is called from the working directory.

    Args:
        program: such as "tensorboard"; "python" is the running Python.
    """
    python = Path(sys.executable)
    return os.path.relpath(python if program == "python" else python.with_name(program))


def wait_for(command: Sequence[str], **options: Any) -> int:
    """Run a program; on a signal, which it gets as well, let it end in order.

    Args:
        command: the program and its arguments.
        options: of ``subprocess.Popen``.

    Returns:
        Its exit status.

    Raises:
        Stopped: there was a signal, and the program has ended.
    """
    processes: list[subprocess.Popen[Any]] = []

    def send(number: int) -> None:
        for process in processes:
            process.send_signal(number)

    with passing_on(send) as received, subprocess.Popen(command, **options) as process:
        processes.append(process)
        for number in received:  # before it was there
            process.send_signal(number)
        status = process.wait()
    if received:
        raise Stopped(received[0])
    return status
