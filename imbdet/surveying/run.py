"""What advice reads from the folder of a training."""

from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode

from imbdet.config import load_config
from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.engine.setup import check_config


def find_checkpoint(run: Path) -> str | None:
    """The last checkpoint of a training; None where it has left none."""
    folder = CheckpointFolder(run)
    return str(folder.last) if folder.holds_run() else None


def config_of_run(run: Path, opts: Sequence[str], data: CfgNode) -> CfgNode:
    """The config by which a detector was trained, checked, with the data of another one.

    Args:
        run: OUTPUT_DIR of its training.
        opts: overrides of its keys.
        data: the config whose DATASETS are taken.

    Raises:
        UserError: the run has no config that can be read.
    """
    cfg = load_config(str(run / "config.yaml"), opts=opts)
    cfg.DATASETS = data.DATASETS.clone()
    check_config(cfg)
    return cfg
