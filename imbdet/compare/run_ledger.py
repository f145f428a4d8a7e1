"""The ledger of a run, and checks that its data have not changed since."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from detectron2.data import DatasetCatalog, MetadataCatalog

from imbdet.compare.compared_data import find_learned
from imbdet.compare.run_folders import RunFolder
from imbdet.data.checks import read_dataset, split_by_validity
from imbdet.data.coco import evaluator_type_of, register_datasets
from imbdet.data.summary import find_difference, summarize
from imbdet.errors import UserError, suggest
from imbdet.formats.annotation_files import READERS
from imbdet.records.ledger_columns import SCHEMAS
from imbdet.run_files.ledger_tables import find_table, read_table
from imbdet.untrusted.reading import parse_json


@dataclass(frozen=True, eq=False)
class RunLedger:
    """What a training recorded of its objects and images; see docs/ledger.md.

    Attributes:
        run: folder of the training.
        fingerprints: fingerprints of the data sets by name, as the training found them.
    """

    run: RunFolder
    fingerprints: Mapping[str, str]

    @classmethod
    def of(cls, run: RunFolder) -> "RunLedger":
        """The ledger of a run.

        Raises:
            UserError: the run has no ledger, or a damaged one.
        """
        return cls(run, _read_fingerprints(find_table(run.folder, "objects")))

    def table(self, name: str) -> pa.Table:
        """The table "objects", "images" or "places" of the ledger.

        Raises:
            UserError: the table cannot be read, or is of other data or of an earlier version.
        """
        path = find_table(self.run.folder, name)
        if _read_fingerprints(path) != self.fingerprints:
            raise UserError(
                f"'{path}' is of other data than '{find_table(self.run.folder, 'objects')}': bring "
                "back that of the training, or train again."
            )
        return read_table(self.run.folder, name, SCHEMAS[name])

    def annotation_file(self, name: str) -> Path:
        """The file of a data set in COCO's or LVIS's format, which is registered and checked.

        Raises:
            UserError: the ledger is not of this data set as it is now.
        """
        if name not in self.fingerprints:
            raise UserError(
                f"The ledger of '{self.run.folder}' is not of the data set '{name}'. "
                f"{suggest(name, self.fingerprints)}"
            )
        register_datasets(self.run.cfg)
        if name not in DatasetCatalog or evaluator_type_of(name) not in READERS:
            raise UserError(
                f"'{name}' has no annotation file in COCO's or LVIS's format, of which a changed "
                "copy could be written."
            )
        records, catalog = read_dataset(name), MetadataCatalog.get(name)
        self._check_classes(name, catalog.thing_classes)
        self._check_annotations(name, records)
        return Path(catalog.json_file)

    def _check_classes(self, name: str, classes: Sequence[str]) -> None:
        learned = find_learned(self.run)  # without it, the fingerprint decides
        if learned and (difference := find_difference(learned.classes, classes)):
            raise UserError(
                f"The classes of '{name}' are not those that '{self.run.folder}' learned: "
                f"{difference}. Bring back the annotations of the training, or train again."
            )

    def _check_annotations(self, name: str, records: list[dict]) -> None:
        """Compare fingerprints; a training may have had fewer images, as it skips missing ones."""
        valid, _ = split_by_validity(records)
        present = [record for record in valid if os.path.exists(record["file_name"])]
        now = summarize(valid).fingerprint
        if self.fingerprints[name] not in (now, summarize(present).fingerprint):
            raise UserError(
                f"The annotations of '{name}' have changed since '{self.run.folder}' learned from "
                f"them (fingerprints {now} and {self.fingerprints[name]}): bring back those of the "
                "training, or train again."
            )


def _read_fingerprints(path: Path) -> dict[str, str]:
    """The fingerprints of the data that a table describes.

    Raises:
        UserError: the file is damaged, or no table of a ledger.
    """
    try:
        found = parse_json((pq.read_schema(path).metadata or {})[b"data"])
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"'{path}' is damaged: bring it back, or train again.") from error
    except (KeyError, ValueError):
        found = None
    if not isinstance(found, dict) or not found:
        raise UserError(f"'{path}' is no ledger: its metadata do not say of which data it is.")
    return found
