"""The exception for mistakes of the user, and suggestions of similar names for its messages."""

import difflib
from collections.abc import Callable, Iterable

# Of more names, such as those of images, a sentence lists the first ten.
_MAX_OPTIONS = 30


class UserError(Exception):
    """Something the user can put right: a config file, a key, a data set, a checkpoint.

    The message is one or a few sentences that name the file, the key or the record and say what to
    do. Programs print it without a traceback and exit with status 2.
    """


def suggest(
    name: str, options: Iterable[str], compared: Callable[[str], str] = lambda text: text
) -> str:
    """A sentence with the ``options`` nearest to a ``name`` that does not exist.

    If none is near, it lists all of them, or the first ten of many.

    Args:
        name: name that the user wrote.
        options: names that exist.
        compared: function that returns the part of a name to compare.
    """
    options = sorted(options)
    named: dict[str, list[str]] = {}
    for option in options:
        named.setdefault(compared(option), []).append(option)
    parts = difflib.get_close_matches(compared(name), named, n=3, cutoff=0.5)
    nearest = [option for part in parts for option in named[part]]
    if nearest:
        return f"Did you mean {' or '.join(repr(option) for option in nearest)}?"
    if len(options) > _MAX_OPTIONS:
        return f"There are: {', '.join(options[:10])} and {len(options) - 10:,} others."
    return f"There are: {', '.join(options)}." if options else "There are none."
