"""Numbers that published implementations gave, beside those of ours for the same inputs.

Each row is a published function; its cases are files of inputs and results.
"""

import functools
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

TESTS = Path(__file__).parents[1]
# Largest differences: a number of indices; standard errors of how often each is drawn; shares of
# the largest published magnitude.
BOUNDS = {"indices": 0.0, "draws": 5.0, "values": 1e-6, "gradient": 1e-6}

Case = dict[str, Any]
# Ours and theirs by kind: a name of BOUNDS, alone or with its subject, as in "values of scores".
# Values of different size have different kinds, as the largest magnitude would hide the smaller.
Pairs = Mapping[str, tuple[Any, Any]]


class Departure(NamedTuple):
    """Why ours differs in a case on purpose, and in which kinds; the others stay within bounds."""

    why: str
    kinds: Set[str]


@dataclass(frozen=True, eq=False)
class Row:
    """A published function.

    Attributes:
        published: repository with version or commit, and the name of the function.
        ours: the function of imbdet.
        files: pattern of the case files below ``tests/``.
        compare: function from a case to ours and theirs, by kind.
        departures: departures by name of a case.
        note: intended difference in all cases, and how they are compared nevertheless.
        bounds: wider bounds than :data:`BOUNDS`.
    """

    published: str
    ours: str
    files: str
    compare: Callable[[Case], Pairs]
    departures: Mapping[str, Departure] = field(default_factory=dict)
    note: str = ""
    bounds: Mapping[str, float] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        """Paths of the cases in which the published code did not fail."""
        return [path for path in sorted(TESTS.glob(self.files)) if path not in self.failed]

    @cached_property
    def failed(self) -> list[Path]:
        """Paths of the cases in which the published code failed."""
        return [path for path in sorted(TESTS.glob(self.files)) if read_case(path).get("raises")]

    def departs_in(self, path: Path) -> Set[str]:
        """The kinds in which ours differs in a case on purpose."""
        departure = self.departures.get(path.stem)
        return departure.kinds if departure else set()

    def bound(self, kind: str) -> float:
        """How far a kind may differ."""
        return {**BOUNDS, **self.bounds}[unit_of(kind)]


def unit_of(kind: str) -> str:
    """The name of :data:`BOUNDS` in which a kind is measured."""
    return kind.split()[0]


ROWS: list[Row] = []


def compared_with(published: str, ours: str, files: str, **about: Any) -> Callable[..., Any]:
    """A decorator that makes a row of a function that compares one case."""

    def add(compare: Callable[[Case], Pairs]) -> Callable[[Case], Pairs]:
        ROWS.append(Row(published, ours, files, compare, **about))
        return compare

    return add


def read_case(path: Path) -> Case:
    """The arrays of a case as tensors, and its numbers and texts as such."""
    with np.load(path) as arrays:
        return {
            name: torch.from_numpy(array) if array.ndim else array.item()
            for name, array in arrays.items()
        }


class Result(NamedTuple):
    """The result of a case: the difference by kind, and whether ours is finite throughout."""

    differences: dict[str, float]
    is_finite: bool


@functools.cache
def result(row: Row, path: Path) -> Result:
    """The result of a case."""
    pairs = row.compare(read_case(path))
    tensors = {kind: tuple(map(_as_tensor, pair)) for kind, pair in pairs.items()}
    return Result(
        {kind: difference(kind, *pair) for kind, pair in tensors.items()},
        all(bool(ours.isfinite().all()) for ours, _ in tensors.values()),
    )


def difference(kind: str, ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference in the unit of :data:`BOUNDS`."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    if theirs.numel() == 0:
        return 0.0
    unit = unit_of(kind)
    if unit == "indices":
        return float((ours != theirs).sum())
    ours, theirs = ours.detach().double(), theirs.double()
    if unit == "draws":
        return _standard_errors(ours, theirs)
    largest = float(theirs.abs().max())
    return float((ours - theirs).abs().max()) / (largest or 1.0)


def _standard_errors(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference of frequencies, each with the number of repetitions as its last entry."""
    (ours, num_ours), (theirs, num_theirs) = ((x[:-1], x[-1]) for x in (ours, theirs))
    frequency = (ours + theirs) / (num_ours + num_theirs)
    variance = frequency * (1 - frequency) * (1 / num_ours + 1 / num_theirs)
    differences = (ours / num_ours - theirs / num_theirs).abs()
    return float((differences / variance.sqrt().clamp(min=1e-6)).max())


def _as_tensor(value: Any) -> torch.Tensor:
    return torch.as_tensor(value, dtype=None if isinstance(value, torch.Tensor) else torch.float64)
