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
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written: {error.strerror or error}.") from error
    finally:
        # On an error of the disk, removing may fail as well; the first error is the telling one.
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
