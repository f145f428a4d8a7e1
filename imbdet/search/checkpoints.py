"""Removes the checkpoints of trainings that nothing lets go on, so that they do not fill the disk.

Which trainings those are follows from what was measured (:func:`.halving.dropped_for_good`), and
what is removed is not there any more. So nobody notes how far that came: after a kill, and in each
program that shares the search, the next look begins where it ended.
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

    A folder that a training still writes to is left for the next time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: set[Path] = set()

    def remove(self, folders: Iterable[Path]) -> None:
        """Remove the checkpoints in these folders; where they may not be removed, say so."""
        with self._lock:
            for folder in itertools.filterfalse(self._done.__contains__, folders):
                with trying_to_lock(folder) as is_free:
                    if is_free:
                        _remove(folder)
                        self._done.add(folder)


def _remove(folder: Path) -> None:
    try:
        CheckpointFolder(folder).remove_all()
    except OSError as error:  # of another user, ...
        print(f"The checkpoints in '{folder}' stay: {error}.", file=sys.stderr, flush=True)
