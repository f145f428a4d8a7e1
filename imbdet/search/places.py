"""Where trainings run: on this machine, or in a cluster."""

import argparse

from imbdet.errors import UserError
from imbdet.search.launcher import Launcher


def make_launcher(args: argparse.Namespace) -> Launcher:
    """What starts trainings where a command line wants them.

    Args:
        args: as ``imbdet search`` parses them.

    Raises:
        UserError: Ray is not installed, has no cluster there, or gives GPUs itself.
    """
    if args.ray is None:
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
