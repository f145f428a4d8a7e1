"""Write files and folders so that a reader never sees an incomplete one."""

import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imbdet.errors import UserError

# Files and folders being written: path, process and thread of each.
_drafts: set[tuple[Path, int, int]] = set()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, which it replaces once the block has written it.

    If the block fails, the temporary file is removed and an older file at ``path`` stays.

    Raises:
        UserError: the block raises an OSError; the message names ``path``.
    """
    # Each writer has its own draft, as two programs may write the same file at the same time.
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}.tmp")
    with _draft(draft):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            with open(draft, "rb") as file:
                os.fsync(file.fileno())  # complete even after a crash of the machine
            draft.replace(path)
        except (OSError, RuntimeError) as error:
            # torch reports a failed write by a RuntimeError on top of the OSError.
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            in_the_way = next(filter(os.path.isfile, path.parents), None)
            if in_the_way:
                raise UserError(
                    f"'{path}' cannot be written: '{in_the_way}' is a file, not a folder. Rename "
                    "it or choose another folder."
                ) from error
            raise UserError(
                f"'{path}' cannot be written: {cause.strerror or cause}. Make room or choose "
                "another folder; what was there before is intact."
            ) from error


@contextlib.contextmanager
def opening_output(folder: Path) -> Iterator[None]:
    """Make the folder of ``--output``, or its default, before the block first uses it.

    Raises:
        UserError: the folder is the OUTPUT_DIR of a training, or making or using it raises an
            OSError; the message names the option.
    """
    try:
        if (folder / "config.yaml").exists():
            raise UserError(f"--output '{folder}' holds a run: choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"'{folder}' cannot be written to ({error.strerror}): choose another folder by "
            "--output."
        ) from error


@contextlib.contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """A new, empty folder beside ``folder``, to be filled and moved there.

    It is removed at the end of the block unless it was moved.
    """
    draft = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    with _draft(draft):
        draft.mkdir(parents=True)
        yield draft


def remove_drafts(*, of_all_threads: bool = False) -> None:
    """Remove the drafts of this process, which ends without leaving their blocks.

    Args:
        of_all_threads: whether to remove the drafts of other threads as well.
    """
    for path, process, thread in list(_drafts):
        if process == os.getpid() and (of_all_threads or thread == threading.get_ident()):
            _remove(path)
            _drafts.discard((path, process, thread))


@contextlib.contextmanager
def _draft(path: Path) -> Iterator[None]:
    """Remove what is left at ``path`` at the end of the block."""
    entry = path, os.getpid(), threading.get_ident()
    _drafts.add(entry)
    try:
        yield
    finally:
        _remove(path)
        _drafts.discard(entry)


def _remove(path: Path) -> None:
    # If the disk fails, removing may fail as well; the first error is the informative one.
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def without_nan(value: Any) -> Any:
    """``value`` with None for every NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if value != value else value
