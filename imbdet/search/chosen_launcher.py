"""Launchers of trainings: on this machine, or in a cluster."""

import argparse
from collections.abc import Sequence

import torch

from imbdet.errors import UserError
from imbdet.search.launcher import Launcher


def make_launcher(args: argparse.Namespace) -> Launcher:
    """The launcher that a command line asks for.

    Args:
        args: arguments of ``imbdet search``.

    Raises:
        UserError: there is no such GPU; or Ray is not installed, has no cluster there, or gives
            GPUs itself.
    """
    if args.ray is None:
        if args.gpus and not args.launcher:  # which may start trainings elsewhere
            _require_gpus(args.gpus)
        return Launcher(gpus=args.gpus, parallel=args.parallel, prefix=args.launcher)
    if args.gpus:
        raise UserError(
            "--gpus is for this machine; with --ray the cluster gives each training one."
        )
    try:
        from imbdet.search.ray_launcher import RayLauncher
    except ModuleNotFoundError as error:
        raise UserError("'ray' is not installed: `pip install 'imbdet[ray]'` brings it.") from error
    return RayLauncher(address=args.ray, parallel=args.parallel, prefix=args.launcher)


def _require_gpus(ids: Sequence[str]) -> None:
    """Refuse numbers that no GPU here has, as a training would silently use the CPU."""
    number = torch.cuda.device_count()
    for gpu in ids:
        if gpu.isdecimal() and int(gpu) >= number:
            known = f"there are 0 to {number - 1}" if number else "there is none on this machine"
            raise UserError(f"--gpus {gpu}: no GPU has this number; {known}.")
