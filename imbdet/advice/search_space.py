"""A search space to start from: the plain config, and methods that are meant for its data."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from imbdet.advice.remedies import Part
from imbdet.config_files.addresses import PREFIX
from imbdet.config_files.keys import OF_TRAININGS
from imbdet.files import replacing

_PLAIN = "plain"
# The seeds of docs/results.md.
SEEDS = [1, 2, 3]
_FINAL_SEEDS = [11, 12, 13]
_HEADER = "# Written by `imbdet advise`: the plain config, and methods meant for its data.\n"
# Without a third data set in the config, only the user can name one.
_FINAL = f"""\
# For `imbdet search`, name a data set of other images than those of the training and the test:
# final: {{dataset: NAME, seeds: {_FINAL_SEEDS}}}
"""


def write_space(
    path: Path,
    base: Sequence[str],
    overrides: Mapping[str, str],
    choices: Mapping[str, Sequence[Part]],
    final: str | None,
) -> None:
    """Write a search space as a file of axes and choices.

    Args:
        path: the YAML file; paths in it are relative to its folder.
        base: config files that all methods share.
        overrides: values of keys that all methods share; keys that a search sets for each training
            are left out.
        choices: parts that each method adds, by its name.
        final: data set of the last comparison; None leaves a comment that asks for it.

    Raises:
        UserError: the file cannot be written.
    """
    space: dict[str, Any] = {
        "base": [_seen_from(path, file) for file in base],
        "axes": {"method": {_PLAIN: [], **{name: list(parts) for name, parts in choices.items()}}},
        "seeds": SEEDS,
    }
    shared = {key: value for key, value in overrides.items() if key not in OF_TRAININGS}
    if shared:
        space["overrides"] = shared
    if final is not None:
        space["final"] = {"dataset": final, "seeds": _FINAL_SEEDS}
    asked = _FINAL if final is None else ""
    with replacing(path) as draft:
        draft.write_text(f"{_HEADER}{yaml.safe_dump(space, sort_keys=False)}{asked}")


def _seen_from(path: Path, file: str) -> str:
    if file.startswith(PREFIX):
        return file
    return Path(os.path.relpath(Path(file).resolve(), path.resolve().parent)).as_posix()
