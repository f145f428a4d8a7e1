"""The training data of a run, as they were, and what its ledger says of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from detectron2.data import DatasetCatalog, MetadataCatalog

from imbdet.compare.run_folders import RunFolder
from imbdet.data import register_datasets
from imbdet.data.checks import read_dataset, split_by_validity
from imbdet.data.coco import evaluator_type_of
from imbdet.data.summary import DataSummary, category_ids_of, find_difference, summarize
from imbdet.errors import UserError, suggest
from imbdet.formats.annotation_files import READERS
from imbdet.parquet import read_parquet
from imbdet.reading import parse_json, read_json
from imbdet.suspects import Evidence

_TABLES = ("objects", "images", "places")
# Of a table: that of a hundred million annotations.
_MAX_BYTES = 1 << 36


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A data set that a run learned from.

    Attributes:
        name: in DATASETS.TRAIN.
        json_file: its annotation file.
        image_root: folder of its images.
        content: of the annotation file, as the training read it.
        classes: names, by class number.
        category_ids: of the same.
        evidence: what the ledger says of it.
    """

    name: str
    json_file: Path
    image_root: Path
    content: Mapping[str, Any]
    classes: Sequence[str]
    category_ids: Sequence[Any]
    evidence: Evidence

    def original(self) -> dict[str, Any]:
        """The content of the annotation file, with all of its fields."""
        content: dict[str, Any] = read_json(self.json_file)
        content.setdefault("annotations", [])
        return content


def load_training_data(run: RunFolder, name: str | None) -> TrainingData:
    """A data set that the ledger of a run is of.

    Args:
        run: its folder.
        name: of the data set; None is the first of DATASETS.TRAIN.

    Raises:
        UserError: there is no ledger, or it is not of this data set as it is now.
    """
    metadata = _ledger_metadata(run)
    fingerprints = _fingerprints(run, metadata)
    name = name or next(iter(run.cfg.DATASETS.TRAIN), None)
    if name not in fingerprints:
        raise UserError(
            f"The ledger of '{run.folder}' is not of the data set '{name}'. "
            f"{suggest(str(name), fingerprints)}"
        )
    register_datasets(run.cfg)
    if name not in DatasetCatalog or evaluator_type_of(name) not in READERS:
        raise UserError(
            f"'{name}' has no annotation file in COCO's or LVIS's format, of which a changed copy "
            "could be written."
        )
    records = read_dataset(name)
    catalog = MetadataCatalog.get(name)
    _check_classes(run, catalog.thing_classes, name)
    _check_annotations(run, records, name, fingerprints[name])
    content = READERS[evaluator_type_of(name)](catalog.json_file)
    ledger = {table: _read_table(run, table) for table in _TABLES}
    try:
        evidence = Evidence.of(content, ledger, name, catalog.thing_classes)
    except KeyError as error:
        raise UserError(
            f"The ledger of '{run.folder}' has {error}, which is neither an annotation nor an "
            f"image of '{catalog.json_file}': it is of another data set. Train again."
        ) from error
    return TrainingData(
        name,
        Path(catalog.json_file),
        Path(catalog.image_root),
        content,
        list(catalog.thing_classes),
        category_ids_of(name, len(catalog.thing_classes)),
        evidence,
    )


def _ledger_metadata(run: RunFolder) -> Mapping[bytes, bytes]:
    path = _path(run, "objects")
    if not path.is_file():
        raise UserError(
            f"'{run.folder}' has no ledger, of which suspects are made: train with LEDGER.ENABLED "
            "True, or wait for the first checkpoint."
        )
    try:
        return pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"'{path}' is damaged: bring it back, or train again.") from error


def _fingerprints(run: RunFolder, metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    """Of the data sets by name."""
    try:
        found = parse_json(metadata[b"data"])
    except (KeyError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UserError(
            f"'{_path(run, 'objects')}' is no ledger: its metadata do not say of which data it is."
        )
    return found


def _read_table(run: RunFolder, name: str) -> pa.Table:
    path = _path(run, name)
    try:
        return read_parquet(path, max_bytes=_MAX_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(
            f"'{path}' cannot be read ({error}): a ledger of an earlier version has no places, one "
            "of this version is written by a training."
        ) from error


def _path(run: RunFolder, name: str) -> Path:
    return run.folder / "ledger" / f"{name}.parquet"


def _check_classes(run: RunFolder, classes: Sequence[str], name: str) -> None:
    """Refuse other classes than those of the training, by the last of its starts."""
    try:
        starts = read_json(run.folder / "run.json")
        states = [start["data"] for start in starts if start.get("task") == "training"]
        summary = DataSummary.parse(states[-1])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return  # without it, the fingerprint decides
    if summary and (difference := find_difference(summary.classes, classes)):
        raise UserError(
            f"The classes of '{name}' are not those that '{run.folder}' learned: {difference}. "
            "Bring back the annotations of the training, or train again."
        )


def _check_annotations(run: RunFolder, records: list[dict], name: str, fingerprint: str) -> None:
    """Refuse other annotations than those of the training, which may have had fewer images."""
    valid, _ = split_by_validity(records)
    present = [record for record in valid if os.path.exists(record["file_name"])]
    if fingerprint not in (summarize(valid).fingerprint, summarize(present).fingerprint):
        raise UserError(
            f"The annotations of '{name}' have changed since '{run.folder}' learned from them "
            f"(fingerprints {summarize(valid).fingerprint} and {fingerprint}): bring back those "
            "of the training, or train again."
        )
