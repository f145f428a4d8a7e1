"""The one exception a user meets, and what its sentences suggest."""

import difflib
from collections.abc import Iterable


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
