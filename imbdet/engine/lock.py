"""Locks output folders, so that only one job runs in each."""

import contextlib
import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imbdet.errors import UserError

logger = logging.getLogger(__name__)

# Open files by path and process: a lock lasts until its process ends.
_held: dict[tuple[Path, int], IO[str]] = {}


def lock_folder(folder: Path) -> None:
    """Keep other jobs out of ``folder`` for as long as this process lives.

    The lock is one of POSIX (``fcntl.lockf``) on the file ``.lock``. The system frees it however
    the process ends, so that it is never stale; NFS keeps it across machines; and workers of a
    loader, which may outlive a killed process by seconds, do not inherit it. The same process may
    ask for it again.

    Raises:
        UserError: another process has the lock; the message says which.
    """
    path = folder.resolve() / ".lock"
    if (path, os.getpid()) in _held:
        return
    file = open(path, "a+")  # noqa: SIM115  (stays open)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise UserError(
            f"OUTPUT_DIR '{folder}' is in use by {owner}. Wait for it or choose another OUTPUT_DIR."
        ) from error
    except OSError as error:
        logger.warning(
            f"OUTPUT_DIR '{folder}' is on a file system without locks ({error.strerror}): nothing "
            "keeps a second job out."
        )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}\n")
    file.flush()
    _held[path, os.getpid()] = file


@contextlib.contextmanager
def trying_to_lock(folder: Path) -> Iterator[bool]:
    """Keep other jobs out of ``folder`` until the end of the block, unless one runs there.

    It is for folders that this process has no job in.

    Yields:
        Whether no job runs there; True on a file system without locks, and for a folder that does
        not exist or cannot be written to.
    """
    with contextlib.ExitStack() as stack:
        is_free = True
        with contextlib.suppress(OSError):
            file = stack.enter_context(open(folder / ".lock", "a+"))
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                is_free = False
        yield is_free


def is_locked(folder: Path) -> bool:
    """Whether another process has locked the folder; False on a file system without locks."""
    with trying_to_lock(folder) as is_free:
        return not is_free
