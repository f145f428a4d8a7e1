"""Programs that a program runs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def path_of(program: str) -> str:
    """How a program beside the running Python is called from the working directory.

    Args:
        program: such as "tensorboard"; "python" is the running Python.
    """
    python = Path(sys.executable)
    return os.path.relpath(python if program == "python" else python.with_name(program))


def wait_for(command: Sequence[str], **options: Any) -> int:
    """Run a program, and on Ctrl-C, which it gets as well, let it end in order.

    Args:
        command: the program and its arguments.
        options: of ``subprocess.Popen``.

    Returns:
        Its exit status.

    Raises:
        KeyboardInterrupt: Ctrl-C, once the program has ended.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
