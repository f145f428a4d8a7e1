"""The YAML file with the choices of a search or a grid."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbdet.config_files.addresses import PREFIX, resolve
from imbdet.config_files.keys import MAX_SEED, OF_TRAININGS
from imbdet.config_files.yaml_file import read_values
from imbdet.errors import UserError, suggest
from imbdet.methods.options import Range
from imbdet.untrusted.schema import NUMBER, Each, Maybe, require_form

_FINAL_FORM = {"dataset": str, "seeds": [int]}
_FORM = {
    "base": Maybe([str]),
    "axes": Maybe(Each(dict)),
    "learning_rates": Maybe([(*NUMBER, str)]),  # 1e-3 is a text in YAML
    "seeds": Maybe([int]),
    "overrides": Maybe(dict),
    "rungs": Maybe([int]),
    "final": Maybe(_FINAL_FORM),
}
# Joins the names of choices to that of a method, and so of a folder.
_JOINT = "-"
# Limit in bytes: file systems take 255, and "-seed_" with a number of 64 bits follows the name.
_MAX_NAME = 255 - len("-seed_") - len(str(2**63))
RATE_KEY = "SOLVER.BASE_LR"
# Names of other columns beside the choices, in tables and in Optuna.
_NO_AXES = ("seed", "learning_rate")
_SEEDS = Range(0, MAX_SEED)
_RATES = Range(0, math.inf, above=True, below=True)

Part = str | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Arm:
    """A method with a learning rate.

    Attributes:
        name: name of the arm, and of its folders.
        method: name of the choices, without the learning rate.
        choices: name of the choice on each axis.
        learning_rate: None leaves that of the config.
        files: config files, a later one wins.
        overrides: values of keys.
    """

    name: str
    method: str
    choices: Mapping[str, str]
    learning_rate: float | None
    files: Sequence[str]
    overrides: Mapping[str, Any]

    @property
    def opts(self) -> list[str]:
        """The overrides as they stand on a command line: KEY, VALUE, KEY, VALUE, ..."""
        return [str(word) for pair in self.overrides.items() for word in pair]

    def arguments(self, seed: int) -> list[str]:
        """The arguments of ``imbdet train``, without OUTPUT_DIR."""
        files = [word for file in self.files for word in ("--config-file", file)]
        return [*files, *self.opts, "SEED", str(seed)]


@dataclass(frozen=True)
class Final:
    """The data set and the seeds of the final comparison of the winner with the baseline."""

    dataset: str
    seeds: Sequence[int]


@dataclass(frozen=True, eq=False)
class Space:
    """The arms and seeds that a YAML file describes.

    Attributes:
        path: path of the file.
        arms: arms by name; the first is the baseline's, whose choices are the first of each axis.
        seeds: seeds that every arm is trained with.
        rungs: iterations at which a search compares; None leaves them to the schedule.
        final: final comparison of a search; None without one.
    """

    path: Path
    arms: Mapping[str, Arm]
    seeds: Sequence[int]
    rungs: Sequence[int] | None
    final: Final | None

    @property
    def methods(self) -> dict[str, list[str]]:
        """The names of the arms of each method, the baseline first."""
        methods: dict[str, list[str]] = {}
        for arm in self.arms.values():
            methods.setdefault(arm.method, []).append(arm.name)
        return methods


def read_space(path: Path, config_files: Sequence[str] = ()) -> Space:
    """Read a file of choices.

    Args:
        path: path of the YAML file. Paths in it are relative to its folder.
        config_files: config files that come before those of the file.

    Raises:
        UserError: the file cannot be read or has another form.
    """
    values = read_values(str(path), "Search space")
    _refuse_unknown(values, _FORM, f"'{path}'")
    try:
        require_form(values, _FORM, "space")
        final = values.get("final")
        _refuse_unknown(final or {}, _FINAL_FORM, "final")
        space = Space(
            path,
            _read_arms(values, path, config_files),
            _distinct(values.get("seeds", [0]), "seeds", _SEEDS),
            values.get("rungs"),
            final and _read_final(final),
        )
        _check_rungs(space.rungs)
    except UserError as error:
        raise UserError(f"'{path}': {error}") from error
    return space


def _refuse_unknown(values: Mapping[Any, Any], form: Mapping[str, Any], where: str) -> None:
    for key in values:
        if key not in form:
            raise UserError(f"{where} has an unknown key '{key}'. {suggest(str(key), form)}")


def _read_arms(values: Mapping[str, Any], path: Path, files: Sequence[str]) -> dict[str, Arm]:
    shared: list[Part] = [*values.get("base", ()), values.get("overrides", {})]
    axes = [
        [(axis, name, choice) for name, choice in _read_choices(axis, choices).items()]
        for axis, choices in values.get("axes", {}).items()
    ]
    rates = _read_rates(values.get("learning_rates", [])) or [None]
    arms: dict[str, Arm] = {}
    for combination, rate in itertools.product(itertools.product(*axes), rates):
        choices = {axis: name for axis, name, _ in combination}
        parts = [*shared, *(part for *_, choice in combination for part in choice)]
        arm = _make_arm(choices, rate, parts, path.parent, files)
        if len(os.fsencode(arm.name)) > _MAX_NAME:
            raise UserError(
                f"the combination '{arm.name}' is too long for the name of a folder, which has "
                f"{_MAX_NAME} bytes at most: give the choices shorter names."
            )
        if arm.name in arms:
            raise UserError(
                f"two combinations have the name '{arm.name}', and so one folder: name the choices "
                "so that each has a name of its own."
            )
        arms[arm.name] = arm
    return arms


def _read_rates(rates: Sequence[float | str]) -> Sequence[float]:
    try:
        numbers = [float(rate) for rate in rates]
    except ValueError as error:
        raise UserError(f"learning_rates are {rates}: each must be a number.") from error
    return _distinct(numbers, "learning_rates", _RATES)


def _read_choices(axis: str, choices: Mapping[Any, Any]) -> dict[str, list[Part]]:
    if axis in _NO_AXES:
        raise UserError(f"an axis cannot be called '{axis}', as tables have that already.")
    if not choices:
        raise UserError(f"the axis '{axis}' has no choices.")
    lists = {}
    for key, one in choices.items():
        choice = one if isinstance(one, list) else [one]
        name = str(key)  # numbers are names, too
        is_name = name and name.isprintable() and "/" not in name
        if not is_name or not all(isinstance(part, str | dict) for part in choice):
            raise UserError(
                f"the choice '{name}' of '{axis}' must be a list of config files and KEY: VALUE "
                "overrides, and its name a name of a folder."
            )
        lists[name] = choice
    return lists


def _make_arm(
    choices: Mapping[str, str],
    rate: float | None,
    parts: Sequence[Part],
    folder: Path,
    files: Sequence[str],
) -> Arm:
    method = _JOINT.join(choices.values()) or "base"
    overrides = {
        key: value for part in parts if isinstance(part, dict) for key, value in part.items()
    }
    for key in OF_TRAININGS:
        if key in overrides:
            raise UserError(f"{key} is set, but each training has its own: leave it out.")
    if rate is not None:
        if RATE_KEY in overrides:
            raise UserError(f"{RATE_KEY} is set beside learning_rates: leave one of them out.")
        overrides[RATE_KEY] = rate
    return Arm(
        name=method if rate is None else f"{method}{_JOINT}lr_{rate:g}",
        method=method,
        choices=choices,
        learning_rate=rate,
        files=[*files, *(_find(part, folder) for part in parts if isinstance(part, str))],
        overrides=overrides,
    )


def _find(file: str, folder: Path) -> str:
    if file.startswith(PREFIX):
        resolve(file)
        return file
    path = folder / Path(file).expanduser()
    if not path.exists():
        raise UserError(f"it names '{file}', but there is no '{path}'.")
    return str(path.resolve())


def _read_final(values: Mapping[str, Any]) -> Final:
    return Final(values["dataset"], _distinct(values["seeds"], "final.seeds", _SEEDS))


def _distinct(numbers: Sequence[Any], name: str, range_: Range) -> Sequence[Any]:
    if len(set(numbers)) < len(numbers) or not all(number in range_ for number in numbers):
        raise UserError(f"{name} are {numbers}: each must be there once, and be {range_}.")
    return numbers


def _check_rungs(rungs: Sequence[int] | None) -> None:
    if rungs is not None and (not rungs or rungs[0] < 1 or sorted(set(rungs)) != list(rungs)):
        raise UserError(f"rungs are {rungs}: they must be iterations in ascending order.")
