"""Makes the data set `shapes` known to detectron2."""

import functools
import os
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

from imbdet.data.shapes.generation import SPLITS, ensure_generated, json_path
from imbdet.data.shapes.options import ShapesOptions


def register_shapes(cfg: CfgNode) -> None:
    """Register "shapes_train" and "shapes_val" with the options under ``cfg.DATASETS.SHAPES``.

    They are generated when one of them is first loaded, in a folder of their own for each set of
    options in ``$DETECTRON2_DATASETS`` (default: "datasets"). A later call with other options
    replaces the earlier ones.

    Raises:
        UserError: an option is out of its range.
    """
    options = ShapesOptions.from_config(cfg)
    root = Path(os.getenv("DETECTRON2_DATASETS", "datasets")).expanduser()
    folder = root / f"shapes-{options.digest()}"
    for split in SPLITS:
        name = f"shapes_{split}"
        # Metadata cannot be changed, only replaced.
        DatasetCatalog.pop(name, None)
        MetadataCatalog.pop(name, None)
        DatasetCatalog.register(name, functools.partial(_load, options, folder, split))
        MetadataCatalog.get(name).set(
            thing_classes=list(options.class_names),
            json_file=str(json_path(folder, split)),
            image_root=str(folder / split),
            evaluator_type="coco",
        )


def _load(options: ShapesOptions, folder: Path, split: str) -> list[dict]:
    ensure_generated(options, folder)
    return load_coco_json(str(json_path(folder, split)), str(folder / split), f"shapes_{split}")
