"""The files of a run's records: each one complete or absent, all of them within a budget."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imbdet.files import replacing
from imbdet.untrusted.schema import NUMBER, require_form

# Name of a part: the last iteration in it, and the process.
_PART = re.compile(r"part-(\d+)(-rank\d+)?\.\w+")


class RecordFolder:
    """Part files in subfolders, named after the last iteration in them and the process.

    A run that continues from a checkpoint drops the later parts. A part must end at every
    checkpoint, so that none has rows from before and after it.
    """

    def __init__(self, root: Path, *, max_bytes: float, rank: int = 0, num_processes: int = 1):
        """Name the folder; nothing is read or written yet.

        Args:
            root: the folder that contains the subfolders.
            max_bytes: largest size of the parts of all processes together.
            rank: rank of this process.
            num_processes: number of processes that write parts, which share the budget equally.
        """
        self.root = root
        self.rank = rank
        self.num_processes = num_processes
        self.max_bytes = max_bytes / num_processes
        self.used_bytes = 0.0
        self.is_over = False  # True once a part did not fit
        self._has_own_files = False

    @property
    def thinning(self) -> int:
        """The factor of the period of the records: 1, 2, 4, ...

        It doubles each time half of the remaining budget is used, so that the budget lasts.
        """
        left = self.max_bytes - self.used_bytes
        return 1 << int(math.log2(self.max_bytes / max(left, 1)))

    def drop_from(self, iteration: int) -> None:
        """Remove all processes' parts that end at ``iteration`` or later, and unfinished ones."""
        for draft in self.root.glob("*/.part-*"):
            draft.unlink()
        for path in self.root.glob("*/part-*"):
            match = _PART.fullmatch(path.name)  # other files are not ours
            if match and int(match[1]) >= iteration:
                path.unlink()

    def state_dict(self) -> dict[str, Any]:
        """The state that cannot be read from the files."""
        return {
            "is_over": self.is_over,
            "max_bytes": self.max_bytes,
            "num_processes": self.num_processes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as before, unless the budget or the number of processes has changed.

        Raises:
            UserError: the state has another form.
        """
        require_form(
            state, {"is_over": bool, "max_bytes": NUMBER, "num_processes": int}, "SampleRecorder"
        )
        self._has_own_files = state["num_processes"] == self.num_processes
        self.is_over = state["is_over"] and self.max_bytes <= state["max_bytes"]

    def measure(self) -> None:
        """Measure the budget used so far; files of other numbers of processes count equally."""
        pattern = f"part-*-rank{self.rank}.*" if self._has_own_files else "part-*"
        used = sum(path.stat().st_size for path in self.root.glob(f"*/{pattern}"))
        self.used_bytes = used if self._has_own_files else used / self.num_processes

    def write(self, iteration: int, contents: Mapping[str, bytes]) -> bool:
        """Write a part into each subfolder, or nothing if that would exceed the budget.

        Args:
            iteration: the last iteration in the parts.
            contents: contents of the parts by subfolder and file ending, such as "samples.parquet".

        Returns:
            Whether the parts were written.

        Raises:
            UserError: they cannot be written.
        """
        size = sum(map(len, contents.values()))
        if self.used_bytes + size > self.max_bytes:
            self.is_over = True
            return False
        for name, content in contents.items():
            subfolder, _, ending = name.partition(".")
            path = self.root / subfolder / f"part-{iteration:07d}-rank{self.rank}.{ending}"
            with replacing(path) as draft:
                draft.write_bytes(content)
        self.used_bytes += size
        return True
