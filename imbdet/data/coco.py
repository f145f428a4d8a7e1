"""Data sets from the keys ``DATASETS.COCO`` and ``DATASETS.LVIS``, in detectron2's catalogs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from imbdet.data.catalog import replace_dataset
from imbdet.data.coco_records import load_coco_records, optional_fields
from imbdet.data.shapes import register_shapes
from imbdet.errors import UserError, suggest
from imbdet.formats.annotation_files import READERS
from imbdet.formats.folders import datasets_root

_BUILT_IN_NAMES = frozenset(DatasetCatalog.list())  # no other data set is registered yet
# Highest number of bytes in a name that file systems accept.
_MAX_NAME = 255
_ENTRY_KEYS = ("NAME", "JSON", "IMAGES")
_ENTRY_FORM = "{NAME: my_train, JSON: path/to/train.json, IMAGES: path/to/images}"


@dataclass(frozen=True)
class CocoDataset:
    """A data set in COCO's or LVIS's format. Calling it loads the data set, as the catalog demands.

    Attributes:
        name: name in the catalogs.
        json_file: path of the annotation file.
        image_root: folder of the images.
        optional: see :func:`imbdet.data.coco_records.optional_fields`.
    """

    name: str
    json_file: str
    image_root: str
    optional: tuple[str, ...]

    def __call__(self) -> list[dict]:
        """Load detectron2's dicts, and set ``thing_classes`` and category ids in the metadata."""
        return load_coco_records(
            self.json_file,
            self.image_root,
            self.name,
            optional=self.optional,
            if_missing=describe_origin(self.name),
        )


def register_datasets(cfg: CfgNode) -> None:
    """Register the shapes and the entries of DATASETS.COCO and LVIS; check DATASETS.TRAIN and TEST.

    It may be called again, with the same or with other entries: the last entry of a name counts.

    Raises:
        UserError: an entry is malformed, or a name is taken, does not exist, or no folder can have
            it.
    """
    register_shapes(cfg)
    optional = optional_fields(cfg)
    names = set()
    for evaluator_type in READERS:
        key = _key_of(evaluator_type)
        for index, entry in enumerate(cfg.DATASETS[evaluator_type.upper()]):
            dataset = CocoDataset(*_parse_entry(f"{key}[{index}]", entry), optional)
            require_folder_name(dataset.name, f"{key}[{index}]")
            if dataset.name in names:
                raise UserError(f"{key} has several entries with NAME '{dataset.name}'.")
            names.add(dataset.name)
            _register(dataset, evaluator_type)
    for key in ("TRAIN", "TEST"):
        for name in cfg.DATASETS[key]:
            require_registered(name, f"DATASETS.{key}")
            _read_like_own(name, optional)
    for name in cfg.DATASETS.TEST:
        require_folder_name(name, "A data set in DATASETS.TEST")


def describe_origin(name: str) -> str:
    """A sentence on where the paths of a registered data set come from, where that is known."""
    if name in _BUILT_IN_NAMES:
        return (
            f"'{name}' is detectron2's own and belongs under the folder named by the environment "
            f"variable DETECTRON2_DATASETS (here '{datasets_root()}'): see docs/data.md."
        )
    if isinstance(DatasetCatalog[name], CocoDataset):
        return f"The paths of '{name}' are set in {_key_of(evaluator_type_of(name))}."
    return ""


def evaluator_type_of(name: str) -> str:
    """Detectron2's ``evaluator_type`` of a registered data set; "" if it is not known."""
    return str(MetadataCatalog.get(name).get("evaluator_type", ""))


def _key_of(evaluator_type: str) -> str:
    return f"DATASETS.{evaluator_type.upper()}"


def _parse_entry(where: str, entry: object) -> tuple[str, str, str]:
    """The name, the annotation file and the folder of images in an entry."""
    form = f"An entry looks like {_ENTRY_FORM}."
    if not isinstance(entry, Mapping):
        raise UserError(f"{where} is {entry!r}. {form}")
    for key in entry:
        if key not in _ENTRY_KEYS:
            raise UserError(f"{where} has an unknown key {key!r}. {form}")
    for key in _ENTRY_KEYS:
        if key not in entry:
            raise UserError(f"{where} has no {key}. {form}")
        if not isinstance(entry[key], str) or not entry[key]:
            raise UserError(f"{where}: {key} is {entry[key]!r}, not a text. {form}")
    return entry["NAME"], _resolve(entry["JSON"]), _resolve(entry["IMAGES"])


def _resolve(path: str) -> str:
    # Detectron2 has a default folder for its own data sets where the variable is not set.
    path = path.replace("$DETECTRON2_DATASETS", str(datasets_root()))
    # Absolute, so that error messages are unambiguous.
    return os.path.abspath(os.path.expandvars(os.path.expanduser(path)))


def _register(dataset: CocoDataset, evaluator_type: str) -> None:
    name = dataset.name
    if name in _BUILT_IN_NAMES or (
        name in DatasetCatalog and not isinstance(DatasetCatalog[name], CocoDataset)
    ):
        raise UserError(
            f"{_key_of(evaluator_type)} has an entry with NAME '{name}', which is already the name "
            f"of {'a data set of detectron2' if name in _BUILT_IN_NAMES else 'another data set'}."
        )
    replace_dataset(
        name,
        dataset,
        json_file=dataset.json_file,
        image_root=dataset.image_root,
        evaluator_type=evaluator_type,
    )


def _read_like_own(name: str, optional: tuple[str, ...]) -> None:
    """Let one of detectron2's data sets in a known format be read and checked like an entry."""
    metadata = MetadataCatalog.get(name)
    if name in _BUILT_IN_NAMES and evaluator_type_of(name) in READERS:
        DatasetCatalog.pop(name)
        dataset = CocoDataset(name, metadata.json_file, metadata.image_root, optional)
        DatasetCatalog.register(name, dataset)


def require_registered(name: str, key: str) -> None:
    """Refuse the name of a data set that does not exist.

    Args:
        name: name of the data set.
        key: key that names it, for the message.

    Raises:
        UserError: there is no such data set; the message suggests a similar name.
    """
    if name in DatasetCatalog:
        return
    options = [option for option in DatasetCatalog if evaluator_type_of(option) in READERS]
    raise UserError(
        f"{key} names a data set '{name}' that does not exist. {suggest(name, options)} "
        f"For data of your own, add an entry to DATASETS.COCO: {_ENTRY_FORM}."
    )


def require_folder_name(name: str, where: str) -> None:
    """Refuse the name of a data set that no folder can have, as evaluations write to such a folder.

    Args:
        name: name of the data set.
        where: description of the data set, for the message.

    Raises:
        UserError: no folder can have the name; the message says which names are possible.
    """
    is_component = name not in ("", ".", "..") and not set(name) & set("/\\")
    if is_component and name.isprintable() and len(os.fsencode(name)) <= _MAX_NAME:
        return
    raise UserError(
        f"{where} has the name {name!r}, but evaluations write into folders with the names of data "
        "sets: choose one without slashes, backslashes and control characters, neither '.' nor "
        f"'..', of at most {_MAX_NAME} bytes."
    )
