"""Ours give the numbers of published implementations, and the page has the differences."""

import math
import re

import pytest

from tests.equality import page
from tests.equality.matrix import ROWS, TESTS, result

CASES = [
    pytest.param(row, path, id=f"{path.stem}-{row.ours}") for row in ROWS for path in row.paths
]


@pytest.mark.parametrize(("row", "path"), CASES)
def test_equals_published_numbers(row, path):
    differences, is_finite = result(row, path)
    assert is_finite
    excess = {
        kind: value
        for kind, value in differences.items()
        if math.isnan(value) or value > row.bound(kind)
    }
    # A departure that no longer exists must be removed.
    assert excess.keys() == row.departs_in(path), differences


def test_each_file_is_a_case():
    assert {path for row in ROWS for path in TESTS.glob(row.files)} == {
        *TESTS.glob("*/golden/*.npz")
    }


def test_departures_are_cases():
    for row in ROWS:
        assert row.departures.keys() <= {path.stem for path in row.paths}


def without_digits(text):
    """The page without the sizes of differences, which depend on the machine."""
    return re.sub(r"(?<=\d: )(1e-\d+|[\d.]+)", "#", text)


def test_the_page_is_up_to_date():
    text = page.PAGE.read_text()
    assert without_digits(text) == without_digits(page.page()), "run tools/equality.py"
