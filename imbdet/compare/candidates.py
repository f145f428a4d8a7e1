"""The candidates that ``imbdet analyze`` kept of each run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from imbdet.analysis.columns import NothingToShow
from imbdet.analysis.tables import PartReader
from imbdet.compare.runs import Run
from imbdet.processes import path_of


def is_analysed(run: Run) -> bool:
    """Whether ``imbdet analyze`` looked at all images."""
    return all(any((_folder(run) / name).glob("part-*")) for name in ("candidates", "images"))


def analyze_command(run: Run, dataset_name: str) -> str:
    """The command that analyses a run."""
    options = {
        "--config-file": run.folder / "config.yaml",
        "--weights": run.weights,
        "--dataset": dataset_name,
        "--output": run.folder / "analysis",
    }
    words = [str(word) for option in options.items() for word in option]
    return shlex.join([path_of("imbdet"), "analyze", *words])


def open_candidates(runs: Sequence[Run]) -> dict[str, PartReader]:
    """The tables of the candidates by run.

    Args:
        runs: the baseline first.

    Raises:
        NothingToShow: a run was not analysed, or on other images than the baseline.
    """
    missing = [run.name for run in runs if not is_analysed(run)]
    if missing:
        raise NothingToShow(f"it needs an analysis of {', '.join(missing)}.")
    images = {run.name: _images(run) for run in runs}
    for run in runs[1:]:
        if images[run.name] != images[runs[0].name]:
            raise NothingToShow(f"{run.name} and {runs[0].name} were analysed on other images.")
    return {run.name: PartReader(_folder(run) / "candidates") for run in runs}


def _folder(run: Run) -> Path:
    return run.folder / "analysis" / "tables"


def _images(run: Run) -> list[tuple[str, str]]:
    """Ids and file names, without the folder, which is another one on another machine."""
    return [
        (image_id, Path(file_name).name)
        for chunk in PartReader(_folder(run) / "images").chunks(["image_id", "file_name"])
        for image_id, file_name in zip(chunk["image_id"], chunk["file_name"], strict=True)
    ]
