"""How programs end: with a sentence and a status of their own, and by signals in order."""

import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from imbdet.errors import UserError

# Those that ask a program to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Errors of a disk that is full, or of somebody else.
NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end, and it does so in order.

    Args:
        number: of the signal.
        message: a sentence for the user.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def hearing(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Have ``handler(number, frame)`` called for each of ``SIGNALS``; afterwards all is as before.

    What is ignored stays so: shells ask for that where a program runs in the background, so that
    a Ctrl-C that is meant for another does not end it.
    """
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, earlier_handler in earlier.items():
            signal.signal(number, earlier_handler)


def run_program(
    run: Callable[[], int | None], *, output: str, tell: Callable[[str], None] | None = None
) -> int:
    """Run a program, and tell a user's mistake in a sentence.

    Args:
        run: does the work, and may return an exit status.
        output: what cannot be written to when the error does not say.
        tell: says a sentence; None prints it to standard error.

    Returns:
        The exit status: 0, 2 after a mistake, where the disk is full or not the user's or where a
        library is not installed, 130 after Ctrl-C (SIGINT), 143 after SIGTERM, 141 where nobody
        reads the output any more.
    """
    tell = tell or _print
    try:
        return run() or 0
    except (UserError, FloatingPointError) as error:  # the latter from detectron2, of NaN
        tell(f"error: {error}".replace("\n", " "))
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("imbdet"):
            raise
        tell(
            f"error: '{error.name}' is not installed: `pip install 'imbdet[programs]'` brings what "
            "imbdet's programs need beside detectron2."
        )
        return 2
    except BrokenPipeError:
        if not _is_closed(sys.stdout):
            raise
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        tell(f"error: {error.strerror}: {error.filename or output}")
        return 2
    except KeyboardInterrupt as stop:
        tell(f"Stopped. {stop}".rstrip())
        return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def _is_closed(stream: TextIO) -> bool:
    """Whether its reader, such as ``head``, has seen enough; then what is left goes nowhere."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return True


def _print(text: str) -> None:
    print(text, file=sys.stderr)
