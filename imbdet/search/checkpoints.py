"""Removes the checkpoints of trainings that can never go on, so that they do not fill the disk.

These trainings follow from the measurements (:func:`.halving.dropped_for_good`), and removed
checkpoints are missing on the disk. So no progress is stored: after a kill, and in each program
that shares the search, the next call goes on where the last one ended.
"""

import itertools
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.engine.lock import trying_to_lock


class CheckpointRemover:
    """Removes checkpoints once, from any thread.

    A folder that a training still writes to is left for the next call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: set[Path] = set()

    def remove(self, folders: Iterable[Path]) -> None:
        """Remove the checkpoints in these folders; report those that cannot be removed."""
        with self._lock:
            for folder in itertools.filterfalse(self._done.__contains__, folders):
                with trying_to_lock(folder) as is_free:
                    if is_free:
                        _remove(folder)
                        self._done.add(folder)


def _remove(folder: Path) -> None:
    try:
        CheckpointFolder(folder).remove_all()
    except OSError as error:  # such as one of another user
        print(f"The checkpoints in '{folder}' stay: {error}.", file=sys.stderr, flush=True)
