"""Which problems are found, and what is said and searched for them."""

from pathlib import Path

import numpy as np
import pytest

import train_net
from imbdet.advice.description import DECIDED, describe
from imbdet.advice.findings import find
from imbdet.advice.ledger_doubts import LedgerDoubts
from imbdet.advice.recommendation import meant_choices, recommend
from imbdet.advice.remedies import read_problems
from imbdet.advice.search_space import write_space
from imbdet.advice.survey import Priming, Settings, survey
from imbdet.assigners import max_iou
from imbdet.config import load_config
from imbdet.search.space import read_space
from tests.advice.scenes import scene
from tests.advice.test_survey import grid

ROOT = Path(train_net.__file__).parent
SETTINGS = Settings("as they are", (0, 1), (0.4, 0.5), 0.5, 100, 100, False, True)
LARGE = (0, 10, 10, 60, 60)
# A data set without a problem, but for its few images.
PLAIN = [[LARGE, (1, 62, 42, 36, 36)]] * 4


def look(images, settings=SETTINGS, ledger=None, num_invalid=0, num_classes=2, scale=1.0):
    data = scene(*images, num_classes=num_classes)
    return survey(
        settings,
        data,
        data,
        np.full((len(images), 2), scale),
        outside=np.zeros(len(data.boxes), dtype=bool),
        num_invalid=num_invalid,
        priming=Priming(grid, max_iou, (8,), "Head"),
        ledger=ledger,
    )


def found(*args, **kwargs):
    return {finding.name for finding in find(look(*args, **kwargs)) if finding.is_found}


USUAL = {"few_images"}
LEDGER = LedgerDoubts(10, [("1", "a")], {0: 0.5, 1: 0.0}, 10, ["a"])
PROBLEMS = {
    "long_tail": {"images": [*PLAIN, *[[LARGE]] * 40]},
    "small_objects": {"images": PLAIN, "scale": 0.3},
    "poor_anchors": {"images": [[(0, 8, 8, 8, 8)]]},
    "overlaps": {"images": [[LARGE, LARGE]]},
    "crowd_regions": {"images": [*PLAIN, [(0, 1, 1, 9, 9, "crowd")]]},
    "too_few_detections": {"images": PLAIN, "settings": SETTINGS._replace(detections_per_image=1)},
    "doubtful_boxes": {"images": PLAIN, "num_invalid": 1},
    "doubtful_classes": {"images": [[LARGE, (1, *LARGE[1:])]]},
    "forgotten_objects": {"images": PLAIN, "ledger": LEDGER},
    "empty_images": {"images": [*PLAIN, []]},
}


def test_nothing_else_is_found_in_plain_data():
    assert found(PLAIN) == USUAL


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_a_problem_is_found(name):
    assert name in found(**PROBLEMS[name])
    assert name not in found(PLAIN)


def test_rare_classes_are_those_in_few_images():
    assert "long_tail" in found(PLAIN, SETTINGS._replace(frequency_bounds=(4, 9)))
    assert "long_tail" not in found([[LARGE]], num_classes=1)


def test_crowds_that_are_ignored_are_no_problem():
    images = PROBLEMS["crowd_regions"]["images"]
    assert "crowd_regions" not in found(images, SETTINGS._replace(ignores_crowds=True))
    assert "empty_images" not in found([*PLAIN, []], SETTINGS._replace(drops_empty=False))


def test_remedies_are_for_findings_that_exist():
    known = {finding.name for finding in find(look(PLAIN, ledger=LEDGER))}
    for problem in read_problems():
        assert problem.findings <= known


@pytest.mark.parametrize("kind", ["one_stage", "two_stage"])
def test_what_is_found_is_answered_and_the_rest_named(kind):
    text = "\n".join(recommend(find(look(PLAIN)), kind))
    assert "There are few images: 4 images (below 1,000)\n  - pretrained weights" in text
    assert ("DR or AP loss" in text) == (kind == "one_stage")
    assert "A class is rare: no." in text
    for problem in read_problems():
        assert problem.heading in " ".join(text.split())
    assert set(meant_choices(find(look(PLAIN)), kind)) >= {"pisa"}


def test_numbers_are_described():
    said = "\n".join(describe(look([*PLAIN, [LARGE, LARGE]], ledger=LEDGER)))
    for words in (
        "to train on: 5 images, 10 objects",
        "Classes  2, 2 : 1",
        "class 0          6         5",
        "Head in 5 images",
        "10 % are lost",
        "boxes 1 with the box (IoU over 0.9) and class of another one (first: annotation 10 in",
        "class 0 50 %",
    ):
        assert words in " ".join(said.split()) or words in said, words
    assert "Sizes" not in "\n".join(describe(look([[]])))


def test_what_a_test_set_decides_is_what_the_results_say():
    assert DECIDED in " ".join((ROOT / "docs" / "results.md").read_text().split())


def test_a_space_is_read_as_it_was_meant(tmp_path):
    base = tmp_path / "configs" / "base.yaml"
    base.parent.mkdir()
    base.write_text("_BASE_: imbdet://quick_start/retinanet.yaml\nVERSION: 2\n")
    choices = meant_choices(find(look(**PROBLEMS["empty_images"])), "one_stage")
    path = tmp_path / "spaces" / "space.yaml"
    overrides = {"INPUT.MIN_SIZE_TRAIN": "(96,)"}
    write_space(path, [str(base), "imbdet://Loss-GIoU.yaml"], overrides, choices)
    space = read_space(path)
    assert list(space.arms) == ["plain", *choices]
    cfgs = {name: load_config(*arm.files, opts=arm.opts) for name, arm in space.arms.items()}
    assert {cfg.INPUT.MIN_SIZE_TRAIN for cfg in cfgs.values()} == {(96,)}
    assert cfgs["plain"].MODEL.BOX_LOSS.NAME == "giou"
    assert cfgs["plain"].DATALOADER.FILTER_EMPTY_ANNOTATIONS
    assert not cfgs["empty_images"].DATALOADER.FILTER_EMPTY_ANNOTATIONS
    assert cfgs["ap"].MODEL.CLS_LOSS.NAME == "ap"
