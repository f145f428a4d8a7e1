"""Registers the data set `shapes` in detectron2's catalogs."""

import dataclasses
import functools
from pathlib import Path

from detectron2.config import CfgNode

from imbdet.data.catalog import replace_dataset
from imbdet.data.coco_records import load_coco_records, optional_fields
from imbdet.data.shapes.generation import SPLITS, ensure_generated, json_path
from imbdet.data.shapes.shapes_options import MAX_SEED, ShapesOptions
from imbdet.formats.folders import datasets_root


def register_shapes(cfg: CfgNode) -> None:
    """Register "shapes_train", "shapes_val" and "shapes_test" by ``cfg.DATASETS.SHAPES``.

    They are generated when first loaded, each set of options in a folder of its own in
    ``$DETECTRON2_DATASETS`` (default: "datasets"). A later call with other options replaces the
    earlier ones.

    Raises:
        UserError: an option is out of its range.
    """
    options = ShapesOptions.from_config(cfg)
    for split in SPLITS:
        _register(f"shapes_{split}", options, split, cfg)
    # The test split is the validation split of the next seed, with the one training image it needs.
    others = dataclasses.replace(options, seed=(options.seed + 1) % MAX_SEED, num_train=1)
    _register("shapes_test", others, "val", cfg)


def _register(name: str, options: ShapesOptions, split: str, cfg: CfgNode) -> None:
    folder = datasets_root() / f"shapes-{options.digest()}"
    replace_dataset(
        name,
        functools.partial(_load, name, options, folder, split, optional_fields(cfg)),
        thing_classes=list(options.class_names),
        json_file=str(json_path(folder, split)),
        image_root=str(folder / split),
        evaluator_type="coco",
    )


def _load(
    name: str, options: ShapesOptions, folder: Path, split: str, optional: tuple[str, ...]
) -> list[dict]:
    ensure_generated(options, folder)
    return load_coco_records(
        str(json_path(folder, split)), str(folder / split), name, optional=optional
    )
