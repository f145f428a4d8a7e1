"""Run a program so that it ends with a sentence and an exit status, also after a signal."""

import errno
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import TextIO

from imbdet.errors import UserError
from imbdet.files import remove_drafts
from imbdet.programs.signals import Listener, end_at_once_while_exiting
from imbdet.wording import printable

# Errors of a disk that is full or may not be written to.
NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


def run_program(
    run: Callable[[], int | None], *, output: str, tell: Callable[[str], None] | None = None
) -> int:
    """Run a program, and report a mistake of the user in one sentence.

    Args:
        run: function that does the work, and may return an exit status.
        output: name of the output, for an error of the disk that names no file.
        tell: function that reports a sentence; None prints it to standard error.

    Returns:
        The exit status: that of ``run`` or 0; 2 after a mistake, if the disk is full or not
        writable, or if a library is not installed; 130 after Ctrl-C (SIGINT), 143 after SIGTERM,
        141 if no program reads the output any more.
    """
    tell = tell or _print
    with Listener() as listener:
        try:
            status, text = run() or 0, ""
        except BaseException as error:
            listener.arrive()
            # After a signal, any exception is its consequence.
            if listener.number or isinstance(error, KeyboardInterrupt):
                status, text = _describe_stop(error, listener)
            elif mistake := _describe_mistake(error, output):
                status, text = mistake
            else:
                raise
        listener.arrive()
        if listener.number and status != 128 + listener.number:  # its exception was lost
            status, text = _describe_stop(None, listener)
        remove_drafts()
        if text:
            tell(text)
    end_at_once_while_exiting()
    return status


def _describe_stop(error: BaseException | None, listener: Listener) -> tuple[int, str]:
    """Exit status and sentence for a program that was stopped."""
    number = listener.number or getattr(error, "number", signal.SIGINT)
    advice = str(error) if isinstance(error, KeyboardInterrupt) else listener.message
    return 128 + number, f"Stopped. {advice}".rstrip()


def _describe_mistake(error: BaseException, output: str) -> tuple[int, str] | None:
    """Exit status and sentence for a mistake; None if the error is a bug, or an exit already."""
    if isinstance(error, UserError | FloatingPointError):  # the latter from detectron2, of NaN
        return 2, printable(f"error: {error}".replace("\n", " "))
    if isinstance(error, ModuleNotFoundError) and not (error.name or "imbdet").startswith("imbdet"):
        return 2, (
            f"error: '{error.name}' is not installed: `pip install 'imbdet[programs]'` brings what "
            "imbdet's programs need beside detectron2."
        )
    if isinstance(error, BrokenPipeError) and _is_closed(sys.stdout):
        return 128 + signal.SIGPIPE, ""
    if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
        return 2, f"error: {error.strerror}: {error.filename or output}"
    return None


def _is_closed(stream: TextIO) -> bool:
    """Whether the reader, such as ``head``, has closed a stream; if so, discard what is left."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return True


def _print(text: str) -> None:
    print(text, file=sys.stderr)
