"""Reads the candidates that ``imbdet analyze`` wrote for each run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from imbdet.compare.ground_truth import GroundTruth
from imbdet.compare.run_folders import RunFolder
from imbdet.figures.part_files import PartReader
from imbdet.figures.study import NothingToShow
from imbdet.programs.processes import path_of


def open_candidates(runs: Sequence[RunFolder]) -> dict[str, PartReader]:
    """The tables of the candidates by run.

    Args:
        runs: runs to compare, the baseline first.

    Raises:
        NothingToShow: a run was not analysed, or on other images than the baseline.
    """
    missing = [run.name for run in runs if not _is_analysed(run)]
    if missing:
        raise NothingToShow(f"it needs an analysis of {', '.join(missing)}.")
    images = {run.name: _images(run) for run in runs}
    for run in runs[1:]:
        if images[run.name] != images[runs[0].name]:
            raise NothingToShow(f"{run.name} and {runs[0].name} were analysed on other images.")
    return {run.name: PartReader(_folder(run) / "candidates") for run in runs}


def advise_analyses(runs: Sequence[RunFolder], ground_truth: GroundTruth) -> list[str]:
    """A sentence, with a command if one helps, for each run whose candidates cannot be compared.

    All need an analysis of the images of the first analysed run, or else of the whole test set.

    Args:
        runs: runs to compare, the baseline first.
        ground_truth: the test set of all runs.
    """
    images = {run: _images(run) for run in runs if _is_analysed(run)}
    first = next(iter(images), None)
    num_images = len(images[first] if first else ground_truth.content["images"])
    sentences = []
    for run in runs:
        command = _analyze_command(run, ground_truth, num_images)
        if run not in images and not run.weights.exists():
            sentences.append(f"{run.name} has no analysis, and no checkpoint for one.")
        elif run not in images:
            sentences.append(f"{run.name} has no analysis, which `{command}` writes.")
        elif images[run] != images[first]:
            sentences.append(
                f"{run.name} was analysed on other images than {first.name}; `{command}` looks at "
                "the same ones."
            )
    return sentences


def _analyze_command(run: RunFolder, ground_truth: GroundTruth, num_images: int) -> str:
    options = {
        "--config-file": run.folder / "config.yaml",
        "--weights": run.weights,
        "--dataset": ground_truth.name,
        "--output": run.folder / "analysis",
    }
    if num_images < len(ground_truth.content["images"]):
        options["--num-images"] = num_images
    words = [str(word) for option in options.items() for word in option]
    return shlex.join([path_of("imbdet"), "analyze", *words])


def _is_analysed(run: RunFolder) -> bool:
    """Whether the run has the tables of ``imbdet analyze``."""
    return all(any((_folder(run) / name).glob("part-*")) for name in ("candidates", "images"))


def _folder(run: RunFolder) -> Path:
    return run.folder / "analysis" / "tables"


def _images(run: RunFolder) -> list[tuple[str, str]]:
    """Ids and file names of the analysed images, without folders, which differ between machines."""
    return [
        (image_id, Path(file_name or "").name)
        for chunk in PartReader(_folder(run) / "images").chunks(["image_id", "file_name"])
        for image_id, file_name in zip(chunk["image_id"], chunk["file_name"], strict=True)
    ]
