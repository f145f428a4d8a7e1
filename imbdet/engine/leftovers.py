"""What was left in the output folder and is not of the training that starts there."""

from collections.abc import Iterable
from pathlib import Path

# What a killed training was writing.
_HALF_WRITTEN = (
    *(".model_*.tmp", ".metrics.json-*.tmp"),
    *("ledger/.*.tmp", "records/*/.*.tmp", "watch/.*.tmp"),
)
# What other programs take for the training's own, so that none of another may be among it, whatever
# the config asks for. Weights stay: a training may begin with them.
_OF_TRAININGS = (
    *("best.json", "loggers.json", "ledger/*.parquet", "records/*/part-*"),
    *("inference*/*/*.json", "inference*/*/pictures/*.png"),
)


def remove_half_written(folder: Path) -> None:
    """Remove drafts of files that trainings alone write; none may be at work in the folder.

    Args:
        folder: OUTPUT_DIR.
    """
    _remove(folder, _HALF_WRITTEN)


def remove_earlier(folder: Path) -> None:
    """Remove what another training has left, before one begins.

    The lines of ``metrics.json`` go when they are gone on with (:mod:`imbdet.engine.curves`).

    Args:
        folder: OUTPUT_DIR.
    """
    _remove(folder, _OF_TRAININGS)


def _remove(folder: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
