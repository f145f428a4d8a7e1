"""Makes the data set `shapes` known to detectron2."""

import functools
from pathlib import Path

from detectron2.config import CfgNode

from imbdet.data.catalog import replace_dataset
from imbdet.data.coco_records import load_coco_records, optional_fields
from imbdet.data.shapes.generation import SPLITS, ensure_generated, json_path
from imbdet.data.shapes.shapes_options import ShapesOptions
from imbdet.formats.folders import datasets_root


def register_shapes(cfg: CfgNode) -> None:
    """Register "shapes_train" and "shapes_val" with the options under ``cfg.DATASETS.SHAPES``.

    They are generated when one of them is first loaded, in a folder of their own for each set of
    options in ``$DETECTRON2_DATASETS`` (default: "datasets"). A later call with other options
    replaces the earlier ones.

    Raises:
        UserError: an option is out of its range.
    """
    options = ShapesOptions.from_config(cfg)
    folder = datasets_root() / f"shapes-{options.digest()}"
    for split in SPLITS:
        replace_dataset(
            f"shapes_{split}",
            functools.partial(_load, options, folder, split, optional_fields(cfg)),
            thing_classes=list(options.class_names),
            json_file=str(json_path(folder, split)),
            image_root=str(folder / split),
            evaluator_type="coco",
        )


def _load(
    options: ShapesOptions, folder: Path, split: str, optional: tuple[str, ...]
) -> list[dict]:
    ensure_generated(options, folder)
    return load_coco_records(
        str(json_path(folder, split)), str(folder / split), f"shapes_{split}", optional=optional
    )
