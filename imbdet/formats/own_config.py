"""A config for one's own data, as in docs/data.md."""

from collections.abc import Mapping
from pathlib import Path

# The head of the config; docs/data.md has the same.
_BASE = """\
# A small network, from scratch, for a CPU. The path starts in the folder of this file.
_BASE_: "BCCD/retinanet.yaml"
# For a GPU instead, from pretrained weights:
# _BASE_: "COCO-Detection/retinanet_R_50_FPN_1x.yaml"
# SOLVER: {IMS_PER_BATCH: 4, BASE_LR: 0.0025, MAX_ITER: 3000, STEPS: [2000, 2700], \
WARMUP_ITERS: 300}
"""


def own_config(name: str, files: Mapping[str, Path], images: Path, num_classes: int) -> str:
    """The text of a config, without a line break at its end.

    Args:
        name: name of the data; a split is "<name>_<split>".
        files: annotation file of each split, "train" and others; the first of the others is the
            test set.
        images: folder that file names are relative to.
        num_classes: number of classes in the data.
    """
    test = next(split for split in files if split != "train")
    return (
        f"{_BASE}DATASETS:\n  COCO:\n{own_entries(name, files, images)}"
        f'  TRAIN: ("{name}_train",)\n  TEST: ("{name}_{test}",)\n'
        f"MODEL: {{RETINANET: {{NUM_CLASSES: {num_classes}}}, "
        f"ROI_HEADS: {{NUM_CLASSES: {num_classes}}}}}\n"
        f'OUTPUT_DIR: "output/{name}"'
    )


def own_entries(name: str, files: Mapping[str, Path], images: Path) -> str:
    """The entries of ``DATASETS.COCO``, a line for each split; see :func:`own_config`."""
    return "".join(
        f'    - {{NAME: "{name}_{split}", JSON: "{file}", IMAGES: "{images}"}}\n'
        for split, file in files.items()
    )
