"""Starting the processes of a job."""

import argparse
from collections.abc import Callable

import torch
from detectron2.engine import launch as detectron2_launch

from imbdet.errors import UserError


def launch(run: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Call ``run(args)`` in ``num_gpus`` processes on each of ``num_machines`` machines.

    One process on one machine is this process itself, with or without a GPU.

    Raises:
        UserError: fewer GPUs than asked for, or machines without a place to meet.
    """
    num_found = torch.cuda.device_count()
    if args.num_gpus * args.num_machines > 1 and args.num_gpus > num_found:
        raise UserError(f"--num-gpus is {args.num_gpus}, but this machine has {num_found}.")
    if args.num_machines > 1 and args.dist_url == "auto":
        raise UserError(
            "--num-machines above 1 needs --dist-url tcp://HOST:PORT of the machine of rank 0."
        )
    detectron2_launch(
        run,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
