"""Checks that all processes of a job run the same code with the same config."""

import hashlib
from pathlib import Path

import detectron2
import torch
from detectron2.utils import comm

import imbdet
from imbdet.errors import UserError


def require_agreement(config_text: str) -> None:
    """Compare the processes with that of rank 0. A collective call.

    Args:
        config_text: whole config as YAML.

    Raises:
        UserError: ranks differ from rank 0; it is raised on all ranks, and says which ones and in
            what.
    """
    mine = {
        "imbdet's source files": hash_sources(Path(imbdet.__file__).parent),
        "torch": torch.__version__,
        "detectron2": detectron2.__version__,
        "the config": hashlib.sha256(config_text.encode()).hexdigest()[:12],
    }
    of_ranks = comm.all_gather(mine)
    for what, expected in of_ranks[0].items():
        ranks = [rank for rank, other in enumerate(of_ranks) if other[what] != expected]
        if ranks:
            detail = f"{of_ranks[ranks[0]][what]} for {expected}"
            if what == "the config":
                texts = comm.all_gather(config_text)
                detail = _first_difference(texts[0], texts[ranks[0]])
            raise UserError(
                f"Rank {', '.join(map(str, ranks))} differs from rank 0 in {what} ({detail}). "
                "Start all processes with the same command, from the same installation."
            )


def hash_sources(folder: Path) -> str:
    """Short hash of the names and contents of all Python files below ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _first_difference(expected: str, found: str) -> str:
    for line, other in zip(expected.splitlines(), found.splitlines(), strict=False):
        if line != other:
            return f"'{other.strip()}' for '{line.strip()}'"
    return "one has more keys"
