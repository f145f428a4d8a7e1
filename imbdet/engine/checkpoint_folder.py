"""The checkpoints of a run: which one it can be resumed from, which ones stay."""

import logging
import os
import re
from pathlib import Path

from imbdet.engine.checkpoint_file import read_checkpoint
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.untrusted.reading import read_text

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"model_(\d+)\.pth")
_FINAL = "model_final.pth"


class CheckpointFolder:
    """Files ``model_<iteration>.pth`` and ``model_final.pth``; a tag names the last one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tag = root / "last_checkpoint"

    def holds_run(self) -> bool:
        """Whether there are checkpoints, or a tag."""
        return os.path.lexists(self.tag) or (self.root / _FINAL).exists() or bool(self._numbered())

    def find_tagged(self) -> Path | None:
        """The file that the tag names; None without a tag, or with one that names none."""
        try:
            name = read_text(self.tag, max_bytes=1000).strip()
        except (OSError, ValueError):
            return None
        return self.root / name if _is_name(name) else None

    @property
    def last(self) -> Path:
        """The file that the tag names or, without a tag, that of the end of a training."""
        return self.find_tagged() or self.root / _FINAL

    def find_intact(self) -> Path:
        """The tagged file or, if it is damaged, the newest intact one before, with a warning.

        Where the tag is lost or damaged, all files are candidates, with a warning.

        Raises:
            UserError: there is no intact file.
        """
        tagged = self.find_tagged()
        if tagged is None:
            problems = [f"'{self.tag}', which names the last checkpoint, is missing or damaged."]
            candidates = self._newest_first()
        else:
            problems = []
            earlier = [path for number, path in self._numbered() if number < _iteration(tagged)]
            candidates = [tagged, *earlier]
        for path in candidates:
            problem = _find_problem(path)
            if problem is None:
                if problems:
                    logger.warning(f"{' '.join(problems)} Going on from '{path}'.")
                return path
            problems.append(f"Cannot load '{path}': {problem}")
        raise UserError(" ".join(problems))

    def set_tag(self, name: str) -> None:
        """Tag a file as the last one."""
        with replacing(self.tag) as draft:
            draft.write_text(name)

    def remove_old(self, name: str, keep: int) -> None:
        """Remove all numbered files up to the file ``name`` but the ``keep`` newest.

        Files of later iterations, which another run has left, are not counted.
        """
        upto = [path for number, path in self._numbered() if number <= _iteration(Path(name))]
        for path in upto[keep:]:
            path.unlink(missing_ok=True)

    def keep_tagged(self) -> None:
        """Remove the numbered files, except the one that the tag names; without a tag, none."""
        tagged = self.find_tagged()
        earlier = [path for _, path in self._numbered() if path != tagged] if tagged else []
        for path in earlier:
            path.unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Remove all weights, also those beside the checkpoints, and half-written files.

        The tag is removed first, so that a run resumes from the remaining files if this is
        interrupted.
        """
        self.tag.unlink(missing_ok=True)
        for pattern in ("model_*.pth", ".model_*.tmp"):
            for path in self.root.glob(pattern):
                path.unlink(missing_ok=True)

    def _newest_first(self) -> list[Path]:
        """All files; the final one may be of a training that was resumed for more iterations."""
        paths = [path for _, path in self._numbered()]
        final = self.root / _FINAL
        if final.exists():
            end = _iteration_inside(final)
            later = sum(_iteration(path) > end for path in paths)
            paths.insert(later, final)
        return paths

    def _numbered(self) -> list[tuple[int, Path]]:
        """Iterations and paths of the numbered files, the newest first."""
        paths = [path for path in self.root.glob("model_*.pth") if _NUMBERED.fullmatch(path.name)]
        return sorted(((int(_iteration(path)), path) for path in paths), reverse=True)


def _is_name(name: str) -> bool:
    return name == Path(name).name and name.endswith(".pth") and name.isprintable()


def _iteration_inside(path: Path) -> float:
    """The iteration of a file whose name does not have it; -1 if it cannot be read."""
    try:
        checkpoint = read_checkpoint(str(path))
    except UserError:
        return -1
    iteration = checkpoint.get("iteration") if isinstance(checkpoint, dict) else None
    return iteration if isinstance(iteration, int) else -1


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
