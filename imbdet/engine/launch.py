"""Starts the processes of a job: one, several by this program, or several by torchrun."""

import argparse
import os
import re
import socket
import time
from datetime import timedelta

import torch

from imbdet.engine.member import Place, Run, take_part
from imbdet.engine.supervisor import supervise
from imbdet.errors import UserError
from imbdet.wording import counted

LOCALHOST = "127.0.0.1"

# Number of connections that may wait before they are accepted.
BACKLOG = 4096

# The variables that torchrun sets for each process; other launchers may set them, too.
TORCHRUN_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


def launch(run: Run, args: argparse.Namespace) -> int:
    """Call ``run(args)`` in all processes of this machine.

    Args:
        run: function that does the work of one process.
        args: arguments with the numbers of processes: ``num_processes`` on the CPU or, if that is
            0, ``num_gpus`` with a GPU each, on each of ``num_machines`` that connect at
            ``dist_url``. One process on one machine is this process itself, with or without a GPU.
            Where torchrun started this process, it is one of torchrun's. ``timeout`` is the time in
            seconds that a process waits for the others.

    Returns:
        The exit status.

    Raises:
        UserError: the job cannot be started. Errors in ``run`` are raised only if it runs in this
            process alone; other processes report theirs themselves.
    """
    if args.timeout <= 0:
        raise UserError(f"--timeout is {args.timeout}: it must be above 0.")
    if all(name in os.environ for name in TORCHRUN_VARIABLES):
        return _join_torchrun(run, args)
    num_local = _count_processes(args)
    if num_local * args.num_machines == 1:
        run(args)
        return 0
    host, port = _meeting_point(args)
    listener = None
    if args.machine_rank == 0:
        listener = _listen(host, port)
        port = listener.getsockname()[1]
    else:
        _wait_for(host, port, args.timeout)
    backend = "gloo" if args.num_processes else "nccl"
    places = [
        Place(
            rank=args.machine_rank * num_local + i,
            local_rank=i,
            world_size=args.num_machines * num_local,
            local_size=num_local,
            url=f"tcp://{host}:{port}",
            backend=backend,
            timeout=timedelta(seconds=args.timeout),
        )
        for i in range(num_local)
    ]
    return supervise(run, args, places, listener)


def _join_torchrun(run: Run, args: argparse.Namespace) -> int:
    """Join a job of torchrun, which started this process."""
    if args.num_processes or args.num_gpus != 1 or args.num_machines != 1:
        raise UserError(
            "torchrun sets the number of processes and machines: leave out --num-processes, "
            "--num-gpus and --num-machines."
        )
    rank, local_rank, world_size, local_size = (
        int(os.environ[name]) for name in TORCHRUN_VARIABLES[:4]
    )
    num_gpus = torch.cuda.device_count()
    if 0 < num_gpus < local_size:
        raise UserError(
            f"torchrun started {local_size} processes, but this machine has "
            f"{counted(num_gpus, 'GPU')}: start as many, or hide the GPUs "
            '(CUDA_VISIBLE_DEVICES="") to train on the CPU.'
        )
    place = Place(
        rank=rank,
        local_rank=local_rank,
        world_size=world_size,
        local_size=local_size,
        url="env://",
        backend="nccl" if num_gpus else "gloo",
        timeout=timedelta(seconds=args.timeout),
    )
    return take_part(run, args, place)


def _count_processes(args: argparse.Namespace) -> int:
    """Number of processes on this machine."""
    for name in ("num_gpus", "num_machines"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}: at least 1.")
    if args.num_processes < 0:
        raise UserError(f"--num-processes is {args.num_processes}: it must be >= 0.")
    if args.num_processes and args.num_gpus != 1:
        raise UserError("--num-processes trains on the CPU and --num-gpus on GPUs: give one.")
    num_found = torch.cuda.device_count()
    is_alone = args.num_gpus * args.num_machines == 1
    if not args.num_processes and args.num_gpus > num_found and not is_alone:
        raise UserError(
            f"--num-gpus is {args.num_gpus}, but this machine has {num_found}. Processes on the "
            "CPU are started by --num-processes."
        )
    if not 0 <= args.machine_rank < args.num_machines:
        raise UserError(
            f"--machine-rank is {args.machine_rank}: it must be from 0 to --num-machines - 1."
        )
    return args.num_processes or args.num_gpus


def _meeting_point(args: argparse.Namespace) -> tuple[str, int]:
    """The host and port at which processes connect; port 0 is any that is free."""
    if args.dist_url == "auto":
        if args.num_machines == 1:
            return LOCALHOST, 0
        raise UserError(
            "--num-machines above 1 needs --dist-url tcp://HOST:PORT of the machine of rank 0."
        )
    match = re.fullmatch(r"tcp://(.+):(\d+)", args.dist_url)
    if not match or int(match[2]) > 65535:
        raise UserError(f"--dist-url is '{args.dist_url}': write tcp://HOST:PORT.")
    return match[1], int(match[2])


def _listen(host: str, port: int) -> socket.socket:
    """A socket of this machine at a port, on all addresses unless ``host`` is LOCALHOST."""
    family = socket.AF_INET
    if host != LOCALHOST:
        host = ""
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else family
    dualstack = family == socket.AF_INET6
    try:
        return socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dualstack
        )
    except OSError as error:
        raise UserError(
            f"Port {port} of --dist-url cannot be used ({error.strerror}); an earlier job may "
            "still use it. Choose another one, or leave --dist-url out on a single machine."
        ) from error


def _wait_for(host: str, port: int, timeout: float) -> None:
    """Wait until the machine of rank 0 listens; ``timeout`` is in seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"The machine of rank 0 does not answer at {host}:{port} ({error}). Check "
                    "--dist-url, that the command runs there with --machine-rank 0, and that no "
                    "firewall blocks the port."
                ) from error
        time.sleep(1)
