"""The training data of a run, as they were, and what its ledger says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog

from imbdet.compare.run_folders import RunFolder
from imbdet.compare.run_ledger import RunLedger
from imbdet.data.coco import evaluator_type_of
from imbdet.data.summary import category_ids_of
from imbdet.errors import UserError
from imbdet.formats.annotation_files import READERS
from imbdet.suspects import Evidence
from imbdet.untrusted.reading import read_json


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A data set that a run learned from.

    Attributes:
        name: name in DATASETS.TRAIN.
        json_file: its annotation file.
        image_root: folder of its images.
        content: content of the annotation file, as the training read it.
        classes: names, by class number.
        category_ids: ids of the classes in the annotation file, by class number.
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
    """Load a data set of a run, with what its ledger says of it.

    Args:
        run: folder of the run.
        name: name of the data set; None for the first of DATASETS.TRAIN.

    Raises:
        UserError: there is no ledger, or it is not of this data set as it is now.
    """
    ledger = RunLedger.of(run)
    name = name or next(iter(run.cfg.DATASETS.TRAIN), "")
    json_file = ledger.annotation_file(name)
    tables = {table: ledger.table(table) for table in ("objects", "images", "places")}
    catalog = MetadataCatalog.get(name)
    content = READERS[evaluator_type_of(name)](str(json_file))
    try:
        evidence = Evidence.of(content, tables, name, catalog.thing_classes)
    except KeyError as error:
        raise UserError(
            f"The ledger of '{run.folder}' has {error}, which is neither an annotation nor an "
            f"image of '{json_file}': it is of another data set. Train again."
        ) from error
    return TrainingData(
        name,
        json_file,
        Path(catalog.image_root),
        content,
        list(catalog.thing_classes),
        category_ids_of(name, len(catalog.thing_classes)),
        evidence,
    )
