"""Writing files so that a reader never meets half of one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from imbdet.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, which it replaces once the block has written it.

    If the block fails, the temporary file is removed and an older file at ``path`` stays.

    Raises:
        UserError: an OSError in the block; names ``path``.
    """
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with open(draft, "rb") as file:
            os.fsync(file.fileno())  # whole after a crash of the machine, too
        draft.replace(path)
    except (OSError, RuntimeError) as error:
        # torch reports a failed write by a RuntimeError on top of the OSError.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        in_the_way = next(filter(os.path.isfile, path.parents), None)
        if in_the_way:
            raise UserError(
                f"'{path}' cannot be written: '{in_the_way}' is a file, not a folder. Rename it or "
                "choose another folder."
            ) from error
        raise UserError(
            f"'{path}' cannot be written: {cause.strerror or cause}. Make room or choose another "
            "folder; what was there before is intact."
        ) from error
    finally:
        # On an error of the disk, removing may fail as well; the first error is the telling one.
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
