"""The worker processes of data loaders: how they are ended, and reports of their death."""

import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator

from torch.utils.data import dataloader

from imbdet.errors import UserError

# An ended process frees its memory before its parent is notified: this takes far less than a
# second.
_SECONDS_TO_END = 5


def share_temporary_folder() -> None:
    """Have processes that this one starts put their sockets into one temporary folder.

    This process removes it at its end. Otherwise each process makes its own, and those that are
    killed, as the workers of an endless loader always are, do not remove it.
    """
    multiprocessing.util.get_temp_dir()


def leave_stopping_to_parent(worker_id: int) -> None:
    """Heed SIGTERM in a worker of a loader only if its parent sends it (a ``worker_init_fn``).

    SLURM and other programs that end a job send it to all of its processes. The training then
    finishes the running iteration or evaluation, for which it needs its workers, and ends them
    itself. That holds for forked workers. A spawned one has other threads, which do not block the
    signal, and ends like torch's workers.

    Args:
        worker_id: number that torch passes; not used.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS: no way to learn who sent a signal
        return
    # Only a blocked signal can be waited for. Threads that are made later inherit that.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_for_parent, daemon=True).start()


def _end_for_parent() -> None:
    parent = multiprocessing.parent_process()  # the system's parent may be a fork server
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        pass
    os._exit(0)  # like torch's own handler, also while an image is read


@contextlib.contextmanager
def explained_worker_deaths() -> Iterator[None]:
    """Report in a sentence that a worker process of a loader has died.

    torch notices a death at once or within seconds and raises, wherever the main thread is.

    Raises:
        UserError: a worker process was killed or has exited.
    """
    try:
        try:
            yield
        except (ConnectionError, EOFError) as error:
            if not _came_from_a_loader(error):
                raise
            # torch's own error, a RuntimeError by a signal, names the process and the cause. It is
            # raised as soon as the process has ended; if that was earlier, it may have been
            # swallowed.
            time.sleep(_SECONDS_TO_END)
            raise _DeadWorkerError(str(error)) from error
    except RuntimeError as error:
        # An error of the worker's own code says "Caught ... in DataLoader worker process 0".
        if not isinstance(error, _DeadWorkerError) and "DataLoader worker (pid" not in str(error):
            raise
        raise UserError(
            f"A data-loading worker died ({str(error).strip()}). Most often memory ran out: lower "
            "DATALOADER.NUM_WORKERS, or give the machine (or its /dev/shm) more."
        ) from error


class _DeadWorkerError(RuntimeError):
    """A worker can no longer deliver the images that it announced."""


def _came_from_a_loader(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    is_passed_on = "in DataLoader worker process" in str(error)
    return not is_passed_on and any(
        frame.f_code.co_filename == dataloader.__file__ for frame, _ in frames
    )
