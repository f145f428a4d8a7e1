"""Starts and ends the processes of this machine together."""

import argparse
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch.distributed as dist
import torch.multiprocessing

from imbdet.data.workers import share_temporary_folder
from imbdet.engine.member import FOLLOWED, Place, Run, speak, take_part
from imbdet.programs.signals import PATIENCE, holding_back, passing_on

# Seconds for processes to end by themselves once one of them has failed, as with torchrun.
GRACE = 30.0

# Linux's option for the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1


def supervise(
    run: Run, args: argparse.Namespace, places: Sequence[Place], listener: socket.socket | None
) -> int:
    """Run a process at each place of this machine until all are done or one fails.

    Signals that end a job are passed on to all processes. Once one has failed, the others have
    ``GRACE`` seconds to end, and ``PATIENCE`` seconds after a signal; then they are killed.

    Args:
        run: see :func:`take_part`.
        args: arguments of ``run``.
        places: places of the processes of this machine.
        listener: socket at which the processes connect, if that is on this machine.

    Returns:
        The exit status: that of a process that failed by itself, 1 if it was killed, or 0.
    """
    # A forked process imports nothing again, but CUDA does not survive a fork.
    method = "fork" if places[0].backend == "gloo" else "spawn"
    is_listening = torch.multiprocessing.get_context(method).RawArray("b", len(places))
    processes: list[BaseProcess] = []
    share_temporary_folder()

    def send(number: int) -> None:
        for process, listens in zip(processes, is_listening, strict=False):
            if process.is_alive():
                # A process that is still importing has nothing to clean up.
                os.kill(process.pid, number if listens else signal.SIGKILL)

    with passing_on(send) as received:
        with holding_back():
            context = torch.multiprocessing.start_processes(
                _work,
                (run, args, places, is_listening),
                nprocs=len(places),
                join=False,
                start_method=method,
            )
            processes += context.processes
        for number in received:  # signals before the processes existed
            send(number)
        try:
            store = _open_store(listener)
            _wait_for_failure(processes)
            _tell_killed(processes, places, store, received)
            codes = _wait_for_end(processes, PATIENCE if received else GRACE)
            if received and not any(is_listening):
                speak(store, "Stopped.")
        finally:
            for process in processes:
                process.kill()
                process.join()
    return _status_of(codes, received)


def _open_store(listener: socket.socket | None) -> dist.Store | None:
    """Open the store that all processes share, in this process, since it outlives the others.

    Call it only after they are forked: the store has a thread, and a fork would copy its locks.
    """
    if listener is None:
        return None
    port = listener.getsockname()[1]
    return dist.TCPStore(
        "localhost",
        port,
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
    )


def _work(
    index: int,
    run: Run,
    args: argparse.Namespace,
    places: Sequence[Place],
    is_listening: ctypes.Array,
) -> None:
    if sys.platform == "linux":
        # The signal of a killed parent: torch's own choice, SIGINT, is ignored under nohup.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    def listen() -> None:
        is_listening[index] = True

    sys.exit(take_part(run, args, places[index], on_start=listen))


def _wait_for_failure(processes: Sequence[BaseProcess]) -> None:
    """Wait until the first process fails or all are done."""
    running = list(processes)
    while running and all(process.exitcode in (None, 0) for process in processes):
        wait([process.sentinel for process in running])
        running = [process for process in running if process.exitcode is None]


def _tell_killed(
    processes: Sequence[BaseProcess],
    places: Sequence[Place],
    store: dist.Store | None,
    received: Sequence[int],
) -> None:
    # It is reported at once, as the others know only that a process has ended.
    for process, place in zip(processes, places, strict=True):
        code = process.exitcode or 0
        if code < 0 and not received:
            name = signal.Signals(-code).name
            speak(store, f"error: Rank {place.rank} was killed by {name}; the others were ended.")


def _wait_for_end(processes: Sequence[BaseProcess], grace: float) -> list[int | None]:
    """Wait up to ``grace`` seconds; return exit codes, None for processes that still run."""
    deadline = time.monotonic() + grace
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    return [process.exitcode for process in processes]


def _status_of(codes: Sequence[int | None], received: Sequence[int]) -> int:
    """The exit status of the job: that of the first process that failed by itself."""
    causes = [code for code in codes if code not in (None, 0, FOLLOWED)]
    if not causes:
        return 0 if set(codes) == {0} else 1
    if causes[0] < 0 and received:  # killed before it handled signals
        return 128 + received[0]
    return max(1, causes[0])
