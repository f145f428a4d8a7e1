"""Programs that a program runs."""

import subprocess
from collections.abc import Sequence
from typing import Any


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
