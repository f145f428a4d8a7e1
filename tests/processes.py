"""Functions called in several real processes that can talk to each other (gloo, on the CPU)."""

from datetime import timedelta

import torch
from torch import distributed


def call_in_processes(function, num_processes, folder):
    """The results of ``function()``, of a module, in new processes, in the order of ranks.

    A process that waits longer than a minute for another fails. Each call needs its own ``folder``.
    """
    torch.multiprocessing.spawn(_call, (function, num_processes, folder), num_processes)
    return [torch.load(folder / f"{rank}.pt") for rank in range(num_processes)]


def _call(rank, function, num_processes, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=num_processes,
        timeout=timedelta(minutes=1),
    )
    torch.save(function(), folder / f"{rank}.pt")
    distributed.destroy_process_group()
