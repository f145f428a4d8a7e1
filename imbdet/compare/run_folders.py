"""Folders of finished or running trainings."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from imbdet.config import load_config
from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.errors import UserError
from imbdet.untrusted.plain_yaml import load_yaml
from imbdet.untrusted.reading import read_json, read_text


@dataclass(frozen=True, eq=False)
class RunFolder:
    """The OUTPUT_DIR of a training.

    Attributes:
        name: name that distinguishes it from the other runs.
        folder: path of the OUTPUT_DIR.
        settings: content of ``config.yaml``.
        cfg: a config with the run's DATASETS. Other keys have their defaults, since a run of
            another version may have keys that do not exist here.
        evaluations: name of the folder of evaluations in it.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    cfg: CfgNode
    evaluations: str = "inference"

    def results_file(self, dataset_name: str) -> Path:
        """The file of the detections on a data set, which exists if the run was evaluated on it."""
        return self.folder / self.evaluations / dataset_name / "coco_instances_results.json"

    @property
    def weights(self) -> Path:
        """The last checkpoint."""
        return CheckpointFolder(self.folder).last


def open_runs(folders: Sequence[str]) -> list[RunFolder]:
    """The runs in some folders, the baseline first.

    Raises:
        UserError: there are fewer than two, one is named twice, or one holds no run.
    """
    if len(folders) < 2:
        raise UserError("A comparison needs two runs or more: name the folders of both.")
    paths = [Path(folder).resolve() for folder in folders]
    for folder, path in zip(folders, paths, strict=True):
        if paths.count(path) > 1:
            raise UserError(f"The run '{folder}' is named twice: name another one beside it.")
    return [
        open_run(Path(folder), name)
        for name, folder in zip(distinct_names(paths), folders, strict=True)
    ]


def open_run(folder: Path, name: str) -> RunFolder:
    """The run in a folder.

    Args:
        folder: OUTPUT_DIR of a training.
        name: name that distinguishes it from other runs.

    Raises:
        UserError: the folder holds no run, or its config cannot be read.
    """
    if not (folder / "config.yaml").is_file():
        raise UserError(
            f"'{folder}' is no run: a run is the OUTPUT_DIR of a training, with "
            f"config.yaml in it{'' if folder.is_dir() else ', and there is no such folder'}."
        )
    return RunFolder(name, folder, *_read_config(folder / "config.yaml"))


def _read_config(path: Path) -> tuple[dict[str, Any], CfgNode]:
    """The attributes ``settings`` and ``cfg`` of a run."""
    cfg = load_config()
    try:
        settings = load_yaml(read_text(path))
        cfg.DATASETS.merge_from_other_cfg(CfgNode(settings["DATASETS"]))
    except Exception as error:  # yacs raises its own
        raise UserError(f"DATASETS cannot be read from '{path}': {error}") from error
    return settings, cfg


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of different absolute paths, as few as distinguish them."""
    for depth in range(1, max(len(path.parts) for path in paths)):
        names = [str(Path(*path.parts[-depth:])) for path in paths]
        if len(set(names)) == len(names):
            return names
    return list(map(str, paths))


def read_results(run: RunFolder, dataset_name: str, category_ids: Container[Any]) -> list[dict]:
    """A run's detections in COCO's result format.

    Args:
        run: the run.
        dataset_name: the data set that it was evaluated on.
        category_ids: category ids of the data set.

    Raises:
        UserError: the file is broken, or of another data set.
    """
    path = run.results_file(dataset_name)
    try:
        results = read_json(path)
    except (ValueError, OSError) as error:
        raise UserError(f"'{path}' cannot be read ({error}): evaluate the run again.") from error
    for i, record in enumerate(results if isinstance(results, list) else [results]):
        if not _is_detection(record) or record["category_id"] not in category_ids:
            raise UserError(
                f"Record {i} of '{path}' is no detection in COCO's result format, with finite "
                f"numbers as 'bbox' and 'score' and a class of '{dataset_name}' as 'category_id': "
                "evaluate the run again."
            )
    return results


def _is_detection(record: object) -> bool:
    if not isinstance(record, dict) or not {"image_id", "category_id"} <= record.keys():
        return False
    box = record.get("bbox")
    numbers = [*(box if isinstance(box, list) else ()), record.get("score")]
    return len(numbers) == 5 and all(
        isinstance(value, int | float) and math.isfinite(value) for value in numbers
    )
