"""One process of a job with several: it joins the others, and reports its failure."""

import argparse
import contextlib
import functools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from detectron2.engine import defaults
from detectron2.utils import comm

from imbdet.programs.program import run_program

Run = Callable[[argparse.Namespace], None]

# Seconds within which all processes notice that one of them has ended, once the first has.
NOTICE_TIME = 5.0

# Exit status of a process that fails because another one did, which has reported the reason.
FOLLOWED = 3

# Texts in errors of gloo, which are plain RuntimeErrors.
GLOO_SIGNS = ("gloo", "Timed out waiting", "pair closure")


@dataclass(frozen=True)
class Place:
    """The place of a process in its job.

    Attributes:
        rank: rank in [0, world_size).
        local_rank: rank in [0, local_size) among the processes of its machine.
        world_size: number of processes of the job.
        local_size: number of processes of each machine.
        url: address at which the processes connect: "tcp://host:port", where a store already
            listens, or "env://" with torchrun's variables.
        backend: "nccl" with a GPU for each process, "gloo" on the CPU.
        timeout: time that a process waits for the others.
    """

    rank: int
    local_rank: int
    world_size: int
    local_size: int
    url: str
    backend: str
    timeout: timedelta


def take_part(
    run: Run, args: argparse.Namespace, place: Place, on_start: Callable[[], None] = lambda: None
) -> int:
    """Join the other processes, call ``run(args)`` and return the exit status.

    The first process that fails reports the reason, in a sentence or a traceback. The others, which
    fail as a consequence, are silent and return ``FOLLOWED``. Other exit statuses are those of
    :func:`run_program`, and 1 after a bug or when another process has ended without a report.

    Args:
        run: function that does the work.
        args: argument of ``run``.
        place: place of this process.
        on_start: function that is called as soon as the process handles signals.
    """
    store: dist.Store | None = None

    def tell(text: str) -> None:
        speak(store, text)

    def join() -> int:
        nonlocal store
        on_start()
        store = _connect(place)
        with _group(store, place):
            return run_program(lambda: run(args), output="OUTPUT_DIR", tell=tell)

    try:
        return run_program(join, output="OUTPUT_DIR", tell=tell)
    except Exception as error:
        return 1 if speak(store, _explain(error, store, place)) else FOLLOWED


def speak(store: dist.Store | None, text: str) -> bool:
    """Print to standard error, unless another process of the job has printed before.

    Args:
        store: store of all processes. If it cannot be reached, each process prints for itself.
        text: message to print.

    Returns:
        Whether this process was the first.
    """
    is_first = True
    if store is not None:
        with contextlib.suppress(dist.DistError, RuntimeError):
            is_first = store.add("spoken", 1) == 1
    if is_first:
        print(text, file=sys.stderr, flush=True)
    return is_first


def _connect(place: Place) -> dist.Store:
    if place.url == "env://":
        store = next(dist.rendezvous(place.url, timeout=place.timeout))[0]
        # torchrun's store outlives the processes that it restarts.
        return dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    host, _, port = place.url.removeprefix("tcp://").rpartition(":")
    return dist.TCPStore(host, int(port), is_master=False, timeout=place.timeout)


@contextlib.contextmanager
def _group(store: dist.Store, place: Place) -> Iterator[None]:
    """Make the process a member of torch's process group, as detectron2 expects it."""
    dist.init_process_group(
        place.backend,
        store=dist.PrefixStore("group", store),
        rank=place.rank,
        world_size=place.world_size,
        timeout=place.timeout,
    )
    # Groups of processes of a machine: v0.6 has no function for them; all versions use this name.
    for start in range(0, place.world_size, place.local_size):
        ranks = list(range(start, start + place.local_size))
        group = dist.new_group(ranks, timeout=place.timeout)
        if place.rank in ranks:
            comm._LOCAL_PROCESS_GROUP = group
    if place.backend == "nccl":
        torch.cuda.set_device(place.local_rank)
    else:
        # detectron2 requires a GPU for each process.
        defaults.create_ddp_model = functools.partial(defaults.create_ddp_model, device_ids=None)
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, torch.get_num_threads() // place.local_size))
    comm.synchronize()
    yield
    # The group ends only after success: otherwise others may still use it, and this would wait.
    dist.destroy_process_group()


def _explain(error: Exception, store: dist.Store | None, place: Place) -> str:
    is_lost = isinstance(error, dist.DistError) or any(sign in str(error) for sign in GLOO_SIGNS)
    if not is_lost:
        return f"Rank {place.rank}:\n{traceback.format_exc()}"
    # The text is such as "[pair.cc:561] Connection closed by peer [127.0.0.1]:6529. This is ..."
    reason = str(error).partition("] ")[2].partition(". ")[0] or str(error)
    return (
        f"error: Rank {place.rank} lost contact with the others ({reason}). "
        f"{_describe_silent(store, place)}"
    )


def _describe_silent(store: dist.Store | None, place: Place) -> str:
    """A sentence on the processes that did not notice the failure: the failed one is among them."""
    if store is None:
        return f"No process answers at {place.url}."
    deadline = time.monotonic() + NOTICE_TIME
    try:
        store.set(f"noticed/{place.rank}", "")
        while time.monotonic() < deadline and not store.check(["spoken"]):
            time.sleep(0.1)
        ranks = [r for r in range(place.world_size) if not store.check([f"noticed/{r}"])]
    except (dist.DistError, RuntimeError):
        return "The store of the job does not answer either."
    if not ranks:
        return "All processes are alive: check the network between them."
    return f"No word from rank {', '.join(map(str, ranks))}: it hangs, is dead, or out of reach."
