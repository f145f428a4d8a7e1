"""Opens the database of a search, and reports what is wrong with it."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from imbdet.errors import UserError

# Seconds between heartbeats of a trial, and without one until it is given to another program.
HEARTBEAT, PATIENCE = 15, 90
# Seconds that a program waits while another one writes to an SQLite file.
_SQLITE_TIMEOUT = 60
# Attempts to make the tables of a new database while others make them, and seconds between two.
_ATTEMPTS, _PAUSE = 20, 0.1


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(file.absolute())).render_as_string()


def open_storage(url: str) -> RDBStorage:
    """Open the database of a search.

    Args:
        url: URL in SQLAlchemy's form, such as "sqlite:///search.db".

    Raises:
        UserError: there is no such database, or it is of another version of Optuna.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    options = {"connect_args": {"timeout": _SQLITE_TIMEOUT}} if url.startswith("sqlite") else {}
    try:
        storage = _make_storage(url, options)
    except RuntimeError as error:
        raise UserError(
            f"The storage '{url}' is of another version of Optuna than {optuna.__version__}, which "
            "is installed: go on with that version, renew the storage by `optuna storage upgrade "
            f"--storage {url}`, or choose another --storage."
        ) from error
    except ImportError as error:
        raise UserError(
            f"The storage '{url}' needs a library that is not installed "
            f"({error.__cause__ or error}): install it, or name another driver "
            "that is, as in postgresql+psycopg2://user@host/database."
        ) from error
    except DBAPIError as error:
        raise _unusable(url, error) from error
    except (SQLAlchemyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"The storage '{url}' cannot be opened ({reason}): write a URL such as "
            "sqlite:////path/to/search.db or postgresql://user@host/database."
        ) from error
    if storage.engine.dialect.name == "sqlite":
        _lock_transactions(storage.engine)
    return storage


def _make_storage(url: str, options: dict[str, Any]) -> RDBStorage:
    """Open a database, and make its tables in a new one.

    Programs that begin together all find it empty. One of them makes a table, and then its first
    row; the database refuses the others, which find it there at their next attempt.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            return RDBStorage(
                url, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=PATIENCE
            )
        except DBAPIError as error:
            is_there = isinstance(error, IntegrityError) or "already exists" in str(error.orig)
            if not (is_there and attempts_left):
                raise
        time.sleep(_PAUSE)
    raise AssertionError("the last attempt returns or raises")


@contextlib.contextmanager
def naming_storage(url: str) -> Iterator[None]:
    """Turn the error of a database that becomes unusable in the block into one for the user.

    Raises:
        UserError: the database cannot be used; the message names ``url``.
    """
    try:
        yield
    except StorageInternalError as error:
        raise _unusable(url, error.__cause__ or error) from error


def _unusable(url: str, error: BaseException) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(
        f"The storage '{url}' cannot be used ({reason}): make sure that it can be reached, is "
        "whole, may be written to and has room; then the same command goes on. Where it is lost, "
        "begin anew with another --output, and another --storage if you name one."
    )


def holds_study(url: str, name: str) -> bool:
    """Whether a study is in a database; neither is created.

    Args:
        url: URL of the database, see :func:`open_storage`.
        name: name of the study.

    Raises:
        UserError: see :func:`open_storage`.
    """
    if _is_missing(url):
        return False
    return any(study.study_name == name for study in open_storage(url).get_all_studies())


def _is_missing(url: str) -> bool:
    """Whether a URL is of an SQLite file that does not exist, and that opening would create."""
    try:
        parsed = make_url(url)
    except ArgumentError:  # which opening it reports
        return False
    file = parsed.database if parsed.get_backend_name() == "sqlite" else None
    return bool(file) and not file.startswith("file:") and not os.path.exists(file)


def _lock_transactions(engine: Engine) -> None:
    """Let an SQLite file have one transaction at a time.

    Python's driver begins one at the first change, and SQLite knows no locks of rows: two programs
    could both see that a trial waits, and both claim it.
    """

    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins none by itself

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    engine.dispose()  # connections from before
