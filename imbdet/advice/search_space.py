"""A search space to start from: the plain config, and methods that are meant for its data."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from imbdet.addresses import PREFIX
from imbdet.advice.remedies import Part
from imbdet.files import replacing
from imbdet.keys import OF_TRAININGS

_PLAIN = "plain"
# As in docs/results.md.
_SEEDS = [1, 2, 3]
_HEADER = "# Written by `imbdet advise`: the plain config, and methods meant for its data.\n"
# What nobody but the user knows.
_FINAL = """\
# For `imbdet search`, name a data set of other images than those of the training and the test:
# final: {dataset: NAME, seeds: [11, 12, 13]}
"""


def write_space(
    path: Path,
    base: Sequence[str],
    overrides: Mapping[str, str],
    choices: Mapping[str, Sequence[Part]],
) -> None:
    """Write it as a file of axes and choices.

    Args:
        path: of the YAML file; paths in it start at its folder.
        base: config files that all have in common.
        overrides: values of keys that all have in common; those that each training has of its own
            are left out.
        choices: what methods add, by their names.

    Raises:
        UserError: the file cannot be written.
    """
    space: dict[str, Any] = {
        "base": [_seen_from(path, file) for file in base],
        "axes": {"method": {_PLAIN: [], **{name: list(parts) for name, parts in choices.items()}}},
        "seeds": _SEEDS,
    }
    shared = {key: value for key, value in overrides.items() if key not in OF_TRAININGS}
    if shared:
        space["overrides"] = shared
    with replacing(path) as draft:
        draft.write_text(f"{_HEADER}{yaml.safe_dump(space, sort_keys=False)}{_FINAL}")


def _seen_from(path: Path, file: str) -> str:
    if file.startswith(PREFIX):
        return file
    return Path(os.path.relpath(Path(file).resolve(), path.resolve().parent)).as_posix()
