"""The text of a page on rare, common and frequent classes."""

import json

import pytest

from imbdet.report.elements import to_html
from imbdet.report.evaluation_tab import evaluation_content
from imbdet.report.gallery import Gallery
from tests.report.factories import CLASSES, write_evaluation


@pytest.fixture
def page(tmp_path):
    """The evaluation's tab with more in ``metrics.json``."""

    def build(**more):
        folder = tmp_path / "inference" / "val"
        write_evaluation(folder)
        path = folder / "metrics.json"
        evaluation = json.loads(path.read_text())
        overall = evaluation["metrics"]["bbox"]["overall"]
        overall["APr"] = 7.25
        path.write_text(json.dumps({**evaluation, **more}))
        return "".join(map(to_html, evaluation_content(tmp_path, Gallery())))

    return build


def test_groups_have_their_bounds(page):
    found = page(frequencies={CLASSES[0]: "r", CLASSES[1]: "f"}, frequency_bounds=[10, 100])
    words = "those in at most 10 training images, in at most 100, and in more."
    assert f"APr, APc and APf are of rare, common and frequent classes: {words}" in found
    assert all(word in found for word in ("7.25", "in training", ">rare<", ">frequent<"))
    assert ">common<" not in found


def test_lvis_has_its_own_limit_and_groups(page):
    found = page(evaluator_type="lvis", max_detections=300, frequencies={CLASSES[0]: "c"})
    assert "LVIS's metrics on val" in found.replace("&#x27;", "'")
    assert "At most 300 of an image count." in found
    assert "of rare, common and frequent classes." in found


def test_nothing_is_said_where_groups_are_not_known(page):
    found = page(frequencies={}, frequency_bounds=[10, 100])
    assert "in training" not in found
    assert "frequent classes" not in found
