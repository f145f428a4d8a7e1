"""The files of a run: each one complete or absent, all together within a budget."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imbdet.files import replacing
from imbdet.forms import NUMBER, require_form

# The last iteration in it, and the process.
_PART = re.compile(r"part-(\d+)(-rank\d+)?\.\w+")


class RecordFolder:
    """Part files in subfolders, named after the last iteration in them and the process.

    A run that goes on from a checkpoint drops the parts from there on. So that none has rows of
    both sides, a part must end at every checkpoint.
    """

    def __init__(self, root: Path, *, max_bytes: float, rank: int = 0, num_processes: int = 1):
        """Name the folder; nothing is read or written yet.

        Args:
            root: of the subfolders.
            max_bytes: that the parts of all processes may take together.
            rank: of this process.
            num_processes: that write parts; each may take an equal share of the budget.
        """
        self.root = root
        self.rank = rank
        self.num_processes = num_processes
        self.max_bytes = max_bytes / num_processes
        self.used_bytes = 0.0
        self.is_over = False  # since a part did not fit
        self._has_own_files = False

    @property
    def thinning(self) -> int:
        """By how much the period of the records is to be multiplied: 1, 2, 4, ...

        It doubles each time half of what was left is used, so that there is room to the end.
        """
        left = self.max_bytes - self.used_bytes
        return 1 << int(math.log2(self.max_bytes / max(left, 1)))

    def drop_from(self, iteration: int) -> None:
        """Remove the parts of all processes that end at ``iteration`` or later, and halves."""
        for draft in self.root.glob("*/.part-*"):
            draft.unlink()
        for path in self.root.glob("*/part-*"):
            match = _PART.fullmatch(path.name)  # others are of somebody else
            if match and int(match[1]) >= iteration:
                path.unlink()

    def state_dict(self) -> dict[str, Any]:
        """What the files do not tell."""
        return {
            "is_over": self.is_over,
            "max_bytes": self.max_bytes,
            "num_processes": self.num_processes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as it was, unless there is more room than then or another number of processes.

        Raises:
            UserError: the state is of another form.
        """
        require_form(
            state, {"is_over": bool, "max_bytes": NUMBER, "num_processes": int}, "SampleRecorder"
        )
        self._has_own_files = state["num_processes"] == self.num_processes
        self.is_over = state["is_over"] and self.max_bytes <= state["max_bytes"]

    def measure(self) -> None:
        """Note how much is used already; files of other processes count for all alike."""
        pattern = f"part-*-rank{self.rank}.*" if self._has_own_files else "part-*"
        used = sum(path.stat().st_size for path in self.root.glob(f"*/{pattern}"))
        self.used_bytes = used if self._has_own_files else used / self.num_processes

    def write(self, iteration: int, contents: Mapping[str, bytes]) -> bool:
        """Write a part into each subfolder, or nothing if that would exceed the budget.

        Args:
            iteration: the last one in the parts.
            contents: by subfolder and file ending, such as "samples.parquet".

        Returns:
            Whether they were written.

        Raises:
            UserError: the disk does not take them.
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
