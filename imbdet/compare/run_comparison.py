"""From folders of runs to a folder of tables, figures and pictures."""

import argparse
import logging
from pathlib import Path

from imbdet.compare.comparison_pictures import find_images
from imbdet.compare.comparison_writer import ResultWriter
from imbdet.compare.ground_truth import load_test_set
from imbdet.compare.run_folders import open_runs
from imbdet.engine.logs import setup_logging
from imbdet.errors import UserError
from imbdet.files import opening_output

logger = logging.getLogger(__name__)


def compare_runs(args: argparse.Namespace) -> None:
    """Compare trained runs with the first one of them.

    Args:
        args: arguments of ``imbdet compare``: ``runs``, ``output``, ``dataset`` and ``picture``.

    Raises:
        UserError: a run, the test set or the folder cannot be used, or they do not belong together.
    """
    runs = open_runs(args.runs)
    output = _open_output(args.output)
    ground_truth = load_test_set(runs, args.dataset)
    rows = find_images(ground_truth.content, args.picture)
    others = ", ".join(run.name for run in runs[1:])
    logger.info(f"Comparing with {runs[0].name}, on '{ground_truth.name}': {others}.")
    ResultWriter(runs, ground_truth, output).write(rows)
    logger.info(f"Everything is in '{output}'.")


def _open_output(folder: str) -> Path:
    output = Path(folder)
    if (output / "tables" / "candidates").exists():
        raise UserError(f"--output '{folder}' holds an analysis: choose another folder.")
    with opening_output(output):
        setup_logging(folder, rank=0)
    return output
