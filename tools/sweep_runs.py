"""What a sweep consists of: the runs that a YAML file describes."""

import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imbdet.errors import UserError, suggest
from imbdet.files import replacing

# Keys of the YAML file.
DEFAULTS = {"base": [], "axes": {}, "seeds": [0], "overrides": {}}


@dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        choices: name of the choice on each axis, and the "seed".
        arguments: of train_net.py, without OUTPUT_DIR.
        folder: its OUTPUT_DIR.
    """

    choices: Mapping[str, str]
    arguments: Sequence[str]
    folder: Path

    @property
    def note(self) -> Path:
        """What was run here, and whether it came to its end."""
        return self.folder / "sweep.json"

    def is_finished(self) -> bool:
        """Whether it was run to its end.

        Raises:
            UserError: the folder is of another run.
        """
        if not self.note.exists():
            return False
        note = json.loads(self.note.read_text())
        if note["arguments"] != list(self.arguments):
            raise UserError(
                f"'{self.folder}' was trained with other settings ({shlex.join(note['arguments'])})"
                ". Choose another --output, or remove the folder."
            )
        return note["finished"]

    def write_note(self, *, finished: bool) -> None:
        """Leave a note in the folder."""
        with replacing(self.note) as draft:
            draft.write_text(json.dumps({"arguments": [*self.arguments], "finished": finished}))


def read_sweep(path: Path, output: Path) -> list[Run]:
    """All runs that a YAML file describes, seed after seed.

    Raises:
        UserError: the file cannot be read or says something else.
    """
    sweep = _read_yaml(path)
    axes = [
        [(axis, name, choice) for name, choice in _choices(path, axis, choices).items()]
        for axis, choices in sweep["axes"].items()
    ]
    runs: dict[Path, Run] = {}
    for seed, combination in itertools.product(sweep["seeds"], list(itertools.product(*axes))):
        names = {axis: name for axis, name, _ in combination}
        shared = [*sweep["base"], sweep["overrides"]]
        parts = [*shared, *(part for *_, choice in combination for part in choice), {"SEED": seed}]
        folder = output / "-".join([*names.values(), f"seed_{seed}"])
        if folder in runs:
            raise UserError(
                f"'{path}' has two runs for the folder '{folder.name}': name choices and seeds so "
                "that each combination has a name of its own."
            )
        choices = {**names, "seed": str(seed)}
        runs[folder] = Run(choices, _to_arguments(path, parts), folder)
    return list(runs.values())


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        sweep = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"'{path}' cannot be read: {error}.") from error
    if not isinstance(sweep, dict):
        raise UserError(f"'{path}' has no keys; there are: {', '.join(DEFAULTS)}.")
    for key, value in sweep.items():
        if key not in DEFAULTS:
            raise UserError(f"'{path}' has an unknown key '{key}'. {suggest(str(key), DEFAULTS)}")
        kind = type(DEFAULTS[key])
        if not isinstance(value, kind):
            raise UserError(f"'{path}': '{key}' is {value!r}, but must be a {kind.__name__}.")
    return {**DEFAULTS, **sweep}


def _choices(path: Path, axis: str, choices: Any) -> dict[str, list]:
    if not isinstance(choices, dict) or not choices:
        raise UserError(f"'{path}': the axis '{axis}' must have choices by name.")
    lists = {str(n): [c] if isinstance(c, str | dict) else c for n, c in choices.items()}
    for name, choice in lists.items():
        if not isinstance(choice, list) or "/" in name:
            raise UserError(
                f"'{path}': the choice '{name}' of '{axis}' must be a list of config files and "
                "KEY: VALUE overrides, and its name a name of a folder."
            )
    return lists


def _to_arguments(path: Path, parts: Sequence[str | dict]) -> list[str]:
    files, overrides = [], []
    for part in parts:
        if isinstance(part, dict):
            overrides += [str(x) for pair in part.items() for x in pair]
            continue
        file = path.parent / part
        if not file.exists():
            raise UserError(f"'{path}' names '{part}', but there is no '{file}'.")
        files += ["--config-file", str(file.resolve())]
    return [*files, *overrides]
