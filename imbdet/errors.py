"""The one exception a user meets."""


class UserError(Exception):
    """Something the user can put right: a config file, a key, a data set, a checkpoint.

    The message is one or a few sentences that name the file, the key or the record and say what to
    do. Programs print it without a traceback and exit with status 2.
    """
