"""Removes files that other trainings left in the output folder, when one starts there."""

from collections.abc import Iterable
from pathlib import Path

# Drafts of files that a killed training was writing.
_HALF_WRITTEN = (
    *(".model_*.tmp", ".metrics.json-*.tmp"),
    *("ledger/.*.tmp", "records/*/.*.tmp", "watch/.*.tmp"),
)
# Files that other programs take for the training's own, so that none of another training may
# remain, whatever the config asks for. Weights stay: a training may start with them.
_OF_TRAININGS = (
    *("best.json", "loggers.json", "ledger/*.parquet", "records/*/part-*"),
    *("inference*/*/*.json", "inference*/*/pictures/*.png"),
)


def remove_half_written(folder: Path) -> None:
    """Remove drafts of files that only trainings write; no training may run in the folder.

    Args:
        folder: OUTPUT_DIR of the training.
    """
    _remove(folder, _HALF_WRITTEN)


def remove_earlier(folder: Path) -> None:
    """Remove the files of another training, before one starts.

    The lines of ``metrics.json`` are removed when its writer starts (:mod:`imbdet.engine.curves`).

    Args:
        folder: OUTPUT_DIR of the training.
    """
    _remove(folder, _OF_TRAININGS)


def _remove(folder: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
