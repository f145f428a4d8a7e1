"""Problems that are found in data, and their remedies in words and in a search space."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import train_net
from imbdet.advice.background_shares import BackgroundShares
from imbdet.advice.checkpoint_look import CheckpointLook
from imbdet.advice.description import DECIDED, describe
from imbdet.advice.findings import find
from imbdet.advice.ledger_doubts import LedgerDoubts
from imbdet.advice.recommendation import meant_choices, recommend
from imbdet.advice.remedies import read_problems
from imbdet.advice.search_space import write_space
from imbdet.advice.survey import Priming, Settings, survey
from imbdet.assigners import max_iou
from imbdet.config import load_config
from imbdet.search.space import Final, read_space
from tests.advice.scenes import scene
from tests.advice.test_survey import grid

ROOT = Path(train_net.__file__).parent
SETTINGS = Settings("as they are", (0, 1), (0.4, 0.5), 0.5, 100, 100, False, True)
LARGE = (0, 10, 10, 60, 60)
# A data set without a problem, but for its few images.
PLAIN = [[LARGE, (1, 62, 42, 36, 36)]] * 4


def look(
    images, settings=SETTINGS, ledger=None, num_invalid=0, num_classes=2, scale=1.0, checkpoint=None
):
    data = scene(*images, num_classes=num_classes)
    found = survey(
        settings,
        data,
        data,
        np.full((len(images), 2), scale),
        outside=np.zeros(len(data.boxes), dtype=bool),
        num_invalid=num_invalid,
        remarks=[],
        priming=Priming(grid, max_iou, (8,), "Head"),
        ledger=ledger,
    )
    return found.with_checkpoint(checkpoint, DOUBTS) if checkpoint else found


def found(*args, **kwargs):
    return {finding.name for finding in find(look(*args, **kwargs)) if finding.is_found}


USUAL = {"few_images"}
TAIL = [*PLAIN, *[[LARGE]] * 40]
DOUBTS = LedgerDoubts("the checkpoint", {0: 60, 1: 10}, {0: 10, 1: 1}, [], 4, [])
LEDGER = LedgerDoubts("the ledger", {0: 60, 1: 10}, {0: 10, 1: 9}, [("1", "a")], 10, ["a"])
LOOK = CheckpointLook(
    "x.pth",
    "Head",
    4,
    5,
    BackgroundShares(0.99, 0.75, 0.4, 0.6),
    sides=np.array([10.0, 20.0, 40.0]),
    num_positives=np.array([1, 2, 0]),
)
COSTLY = replace(LOOK, background=LOOK.background._replace(loss=0.6))
UNMATCHED = replace(LOOK, num_positives=np.array([0, 2, 3]))
PROBLEMS = {
    "long_tail": {"images": TAIL},
    "tail_behind": {"images": TAIL, "ledger": LEDGER},
    "small_objects": {"images": PLAIN, "scale": 0.3},
    "poor_anchors": {"images": [[(0, 8, 8, 8, 8)]]},
    "overlaps": {"images": [[LARGE, LARGE]]},
    "crowd_regions": {"images": [*PLAIN, [(0, 1, 1, 9, 9, "crowd")]]},
    "too_few_detections": {"images": PLAIN, "settings": SETTINGS._replace(detections_per_image=1)},
    "doubtful_boxes": {"images": PLAIN, "num_invalid": 1},
    "unmatched_objects": {"images": PLAIN, "checkpoint": UNMATCHED},
    "costly_background": {"images": PLAIN, "checkpoint": COSTLY},
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


def test_a_box_is_doubtful_once_and_one_that_is_none_counts_as_a_box():
    long = (0, 10, 10, 60, 2)
    for images, num_invalid, share in (([[long, long], [long]], 0, "100 %"), ([[]], 20, "100 %")):
        findings = find(look(images, num_invalid=num_invalid))
        (reason,) = (finding.reason for finding in findings if finding.name == "doubtful_boxes")
        assert reason.startswith(f"{share} of the boxes are doubtful")


def test_rare_classes_are_those_in_few_images():
    findings = find(look(PLAIN, SETTINGS._replace(frequency_bounds=(4, 9))))
    assert ("long_tail", True, "2 of 2 classes in at most 4 images") in findings
    assert "long_tail" not in found([[LARGE]], num_classes=1)


def test_crowds_that_are_ignored_are_no_problem():
    images = PROBLEMS["crowd_regions"]["images"]
    assert "crowd_regions" not in found(images, SETTINGS._replace(ignores_crowds=True))
    ignored_anyway = [*PLAIN, [(0, 1, 1, 9, 9, "crowd", "ignored")]]
    assert "crowd_regions" not in found(ignored_anyway, SETTINGS)
    assert "empty_images" not in found([*PLAIN, []], SETTINGS._replace(drops_empty=False))


def test_what_a_checkpoint_says_may_be_no_problem():
    assert found(PLAIN, checkpoint=LOOK) == USUAL
    assert "tail_behind" not in found(TAIL, checkpoint=LOOK)
    ranking = replace(LOOK, background=LOOK.background._replace(loss=None))
    assert "costly_background" not in found(PLAIN, checkpoint=ranking)
    assert found(PLAIN, checkpoint=replace(LOOK, background=None)) == USUAL


def test_a_ledger_of_the_training_tells_more_than_a_look():
    assert look(PLAIN, ledger=LEDGER, checkpoint=LOOK).ledger is LEDGER
    assert look(PLAIN, checkpoint=LOOK).ledger is DOUBTS


def test_remedies_are_for_findings_that_exist():
    known = {finding.name for finding in find(look(TAIL, ledger=LEDGER, checkpoint=LOOK))}
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
        "by the ledger: of 70 objects that were judged 1 were said to be of another class",
        "most of all: class 1 (9 of 10), class 0 (10 of 60)",
    ):
        assert words in " ".join(said.split()) or words in said, words
    assert "Sizes" not in "\n".join(describe(look([[]])))


def test_a_look_is_described():
    said = " ".join("\n".join(describe(look(TAIL, checkpoint=LOOK))).split())
    for words in (
        "of Head in 4 of 5 training images, drawn with a fixed seed, by the checkpoint 'x.pth'",
        "99 % of the candidates are background, and 75 % of those that the sampler chooses",
        "they have 40 % of the loss and 60 % of the gradient",
        "(median): 2 for 2 small ones, of which 0 % have none; 0 for 1 medium one, of which 100 %",
        "10 % of 10 objects of rare classes (class 1) are not learnt, and 16.7 % of 60 of the",
        "points, undecided",
    ):
        assert words in said, words


def test_what_a_test_set_decides_is_what_the_results_say():
    assert DECIDED in " ".join((ROOT / "docs" / "results.md").read_text().split())


def test_a_space_is_read_as_it_was_meant(tmp_path):
    base = tmp_path / "configs" / "base.yaml"
    base.parent.mkdir()
    base.write_text("_BASE_: imbdet://quick_start/retinanet.yaml\nVERSION: 2\n")
    choices = meant_choices(find(look(**PROBLEMS["empty_images"])), "one_stage")
    path = tmp_path / "spaces" / "space.yaml"
    overrides = {"INPUT.MIN_SIZE_TRAIN": "(96,)", "OUTPUT_DIR": "x", "SEED": "1"}
    write_space(path, [str(base), "imbdet://Loss-GIoU.yaml"], overrides, choices, "third")
    space = read_space(path)
    assert list(space.arms) == ["plain", *choices]
    cfgs = {name: load_config(*arm.files, opts=arm.opts) for name, arm in space.arms.items()}
    assert {cfg.INPUT.MIN_SIZE_TRAIN for cfg in cfgs.values()} == {(96,)}
    assert cfgs["plain"].MODEL.BOX_LOSS.NAME == "giou"
    assert cfgs["plain"].DATALOADER.FILTER_EMPTY_ANNOTATIONS
    assert not cfgs["empty_images"].DATALOADER.FILTER_EMPTY_ANNOTATIONS
    assert cfgs["ap"].MODEL.CLS_LOSS.NAME == "ap"
    assert space.final == Final("third", [11, 12, 13])


def test_a_space_says_what_a_search_needs_besides(tmp_path):
    path = tmp_path / "space.yaml"
    write_space(path, ["imbdet://quick_start/retinanet.yaml"], {}, {}, None)
    *_, hint = path.read_text().splitlines()
    path.write_text(f"{path.read_text()}{hint.removeprefix('# ')}\n")
    assert read_space(path).final == Final("NAME", [11, 12, 13])
