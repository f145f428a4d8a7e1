"""The checkpoints of a run: which one it can go on from, which ones stay."""

import logging
import re
from pathlib import Path

from imbdet.engine.checkpoint_file import read_checkpoint
from imbdet.errors import UserError
from imbdet.files import replacing

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"model_(\d+)\.pth")


class CheckpointFolder:
    """Files ``model_<iteration>.pth`` and ``model_final.pth``; a tag names the last one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tag = root / "last_checkpoint"

    def find_intact(self) -> Path:
        """The tagged file, or the newest one before that is whole, with a warning for each other.

        Raises:
            UserError: there is none.
        """
        tagged = self.root / self.tag.read_text().strip()
        earlier = [path for number, path in self._numbered() if number < _iteration(tagged)]
        problems = []
        for path in (tagged, *earlier):
            problem = _find_problem(path)
            if problem is None:
                if problems:
                    logger.warning(f"{' '.join(problems)} Going on from '{path}'.")
                return path
            problems.append(f"Cannot load '{path}': {problem}")
        raise UserError(" ".join(problems))

    def set_tag(self, name: str) -> None:
        """Make a file the last one."""
        with replacing(self.tag) as draft:
            draft.write_text(name)

    def remove_old(self, name: str, keep: int) -> None:
        """Remove all numbered files up to the file ``name`` but the ``keep`` newest.

        Files of later iterations, which another run has left, count as none.
        """
        upto = [path for number, path in self._numbered() if number <= _iteration(Path(name))]
        for path in upto[keep:]:
            path.unlink(missing_ok=True)

    def _numbered(self) -> list[tuple[int, Path]]:
        """Newest first."""
        paths = [path for path in self.root.glob("model_*.pth") if _NUMBERED.fullmatch(path.name)]
        return sorted(((int(_iteration(path)), path) for path in paths), reverse=True)


def _iteration(path: Path) -> float:
    match = _NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else float("inf")


def _find_problem(path: Path) -> str | None:
    if not path.exists():
        return "it does not exist."
    try:
        checkpoint = read_checkpoint(str(path))
    except UserError as error:
        return str(error)
    is_one = isinstance(checkpoint, dict) and "model" in checkpoint
    return None if is_one else "it is no checkpoint of a training."
