"""The one exception a user meets, and how programs end."""

import difflib
import errno
import sys
from collections.abc import Callable, Iterable

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class UserError(Exception):
    """Something the user can put right: a config file, a key, a data set, a checkpoint.

    The message is one or a few sentences that name the file, the key or the record and say what to
    do. Programs print it without a traceback and exit with status 2.
    """


def suggest(name: str, options: Iterable[str]) -> str:
    """A sentence with the ``options`` nearest to a ``name`` that does not exist, or with all."""
    options = sorted(options)
    nearest = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    if nearest:
        return f"Did you mean {' or '.join(repr(option) for option in nearest)}?"
    return f"There are: {', '.join(options)}." if options else "There are none."


def run_program(run: Callable[[], None], *, output: str, if_stopped: str = "") -> int:
    """Run a program, and tell a user's mistake in a sentence.

    Args:
        run: does the work.
        output: what cannot be written to when the disk is full and the error does not say.
        if_stopped: a sentence for who pressed Ctrl-C.

    Returns:
        The exit status: 0, 2 after a mistake or on a full disk, 130 after Ctrl-C.
    """
    try:
        run()
    except (UserError, FloatingPointError) as error:  # the latter from detectron2, of NaN
        print(f"error: {error}".replace("\n", " "), file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        print(f"error: {error.strerror}: {error.filename or output}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"Stopped. {if_stopped}".rstrip(), file=sys.stderr)
        return 130
    return 0
