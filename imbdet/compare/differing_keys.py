"""The keys in which the configs of runs differ, possibly in more than the method in question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from imbdet.compare.run_folders import RunFolder
from imbdet.config_files.keys import changed_keys
from imbdet.figures.part_files import write_table
from imbdet.wording import counted

# The sentence names no more keys: two detectors differ in dozens, which the table has.
_MAX_KEYS = 8


@dataclass(frozen=True)
class DifferingKeys:
    """The keys in which runs differ from the baseline.

    Attributes:
        of_run: the baseline's value and the run's own, by run without the baseline, and by full
            name of the key.
    """

    of_run: Mapping[str, Mapping[str, Sequence[Any]]]

    def table(self) -> pa.Table:
        """A row for each run and key."""
        rows = [
            {"run": run, "key": key, "baseline": repr(old), "value": repr(new)}
            for run, changes in self.of_run.items()
            for key, (old, new) in changes.items()
        ]
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """The first keys of each run."""
        return " ".join(f"{run} has {_describe(keys)}." for run, keys in self.of_run.items())


def _describe(changes: Mapping[str, Sequence[Any]]) -> str:
    named = [f"{key} {new!r} instead of {old!r}" for key, (old, new) in changes.items()]
    if len(named) > _MAX_KEYS:
        named[_MAX_KEYS:] = [f"and {counted(len(named) - _MAX_KEYS, 'more key')}"]
    return ", ".join(named) or "the baseline's config"


def write_differing_keys(runs: Sequence[RunFolder], output: Path) -> str:
    """Write ``output/tables/differing_keys.parquet``, if other keys than OUTPUT_DIR differ.

    Args:
        runs: runs to compare, the baseline first.
        output: folder of the comparison.

    Returns:
        A sentence with the first of these keys.
    """
    changes = [changed_keys(run.settings, runs[0].settings) for run in runs[1:]]
    for keys in changes:
        keys.pop("OUTPUT_DIR", None)
    numbers = DifferingKeys({run.name: keys for run, keys in zip(runs[1:], changes, strict=True)})
    path = output / "tables" / "differing_keys.parquet"
    if any(changes):
        write_table(numbers.table(), path)
    else:
        path.unlink(missing_ok=True)
    return f"differing_keys: {numbers.sentence()}"
