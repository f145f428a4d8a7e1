"""Ranges that the types of parameters say."""

import math
from typing import Annotated

import pytest

from imbdet import assigners, losses, samplers, weighting
from imbdet.methods.options import NonNegative, Positive, Range, checked, options_of


@checked
def scaled(values, power: NonNegative, *, factor: Positive = 1.0, name: str = ""):
    return [factor * value**power for value in values]


@checked
class Scaled:
    def __init__(self, power: NonNegative, *, factor: Positive = 1.0):
        self.power, self.factor = power, factor


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scaled([2], -1), "power is -1: it must be at least 0"),
        (lambda: scaled([2], power=-1), "power is -1"),
        (lambda: scaled([2], 1, factor=0), "factor is 0: it must be above 0"),
        (lambda: Scaled(-1), "power is -1"),
        (lambda: Scaled(1, factor=math.nan), "factor is nan"),
    ],
)
def test_arguments_are_checked_with_and_without_a_default(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_arguments_in_range_are_passed_on():
    assert scaled([2, 3], 2, factor=0.5) == [2.0, 4.5]
    assert (Scaled(2).power, Scaled(2, factor=3).factor) == (2, 3)


@pytest.mark.parametrize(
    "package", [assigners, losses, samplers, weighting], ids=lambda p: p.__name__
)
def test_ranges_of_what_is_public_are_checked(package):
    """A range that is declared and not checked would be a promise that nobody keeps."""
    for name in package.__all__:
        call = getattr(package, name)
        options = options_of(call) if callable(call) and _is_ours(call) else ()
        for option in (option for option in options if option.range is not None):
            with pytest.raises(ValueError, match=f"{option.name} is nan: it must be"):
                call(**{option.name: math.nan})


def _is_ours(call):
    return call.__module__.startswith("imbdet.")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (NonNegative, "at least 0"),
        (Annotated[float, Range(0, below=True)], "at least 0 and finite"),
        (Annotated[float, Range(0, 1)], "from 0 to 1"),
    ],
)
def test_ranges_read_as_english(kind, text):
    assert str(kind.__metadata__[0]) == text
