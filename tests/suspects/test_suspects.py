"""Each kind of suspects against its definition."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from imbdet.suspects import KINDS, Duplicate, Evidence, Misplaced, Missing, WrongClass
from imbdet.suspects.box_arrays import iou_matrix
from tests.suspects.factories import CLASSES, DATASET, SIGHTS, make_content, make_tables


@pytest.fixture(scope="module")
def evidence():
    return Evidence.of(make_content(), make_tables(), DATASET, CLASSES)


def by_id(kind, evidence):
    return dict(zip(evidence.objects["id"], kind(evidence).scores, strict=True))


def test_needs_neither_torch_nor_detectron2():
    names = "'torch', 'detectron2'"
    check = f"import sys, imbdet.suspects; assert not sys.modules.keys() & {{{names}}}"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_crowds_are_no_objects(evidence):
    assert evidence.objects["id"].tolist() == ["11", "12", "13", "15", "21", "22"]
    assert evidence.regions["1"].tolist() == [[5, 60, 55, 90]]


def test_wrong_class(evidence):
    # The other class has 0.9 of the scores; no other object is said to be of another class.
    expected = {"11": 0, "12": 0.9 * SIGHTS / (SIGHTS + 1), "13": 0, "15": 0, "21": 0, "22": 0}
    assert by_id(WrongClass, evidence) == pytest.approx(expected)
    first = next(WrongClass(evidence).ranked(1))
    assert (first.id, first.class_index, first.proposed_class) == ("12", 1, 2)
    for text in ("'dog'", "8 of 9 sights", "'fish <b>' at 7 of them or more", "0.90"):
        assert text in first.reason


def test_misplaced(evidence):
    # Two of four sides are moved by 10 pixels: 30 of 50 pixels overlap.
    expected = (1 - 30 / 50) * SIGHTS / (SIGHTS + 1)
    scores = by_id(Misplaced, evidence)
    assert scores["21"] == pytest.approx(expected)
    assert {scores[note] for note in ("11", "12", "13", "15", "22")} == {0}
    (suspect,) = Misplaced(evidence).ranked(9)
    assert suspect.proposed_box == pytest.approx((30, 20, 70, 60))
    assert "left +10, upper +0, right +10, lower +0" in suspect.reason


def test_a_box_that_reaches_out_of_the_image_is_in_its_place():
    content = make_content()
    (note,) = (note for note in content["annotations"] if note["id"] == 15)
    note["bbox"] = [70, 70, 60, 20]  # the image ends at 100
    evidence = Evidence.of(content, make_tables(), DATASET, CLASSES)
    assert evidence.boxes[3].tolist() == [70, 70, 100, 90]
    assert by_id(Misplaced, evidence)["15"] == 0


def test_missing(evidence):
    kind = Missing(evidence)
    (suspect,) = kind.ranked(9)
    assert suspect.score == pytest.approx(0.6 * (8 / SIGHTS) ** 0.5)
    assert (suspect.image_id, suspect.id, suspect.proposed_class) == ("3", None, 1)
    assert suspect.proposed_box == pytest.approx((30, 30, 60, 70))
    assert "8 of 9 sights" in suspect.reason
    assert len(kind.scores) == 4


def test_duplicate(evidence):
    boxes = evidence.boxes
    (iou,) = iou_matrix(boxes[[0]], boxes[[2]])[0]
    assert by_id(Duplicate, evidence) == pytest.approx(
        {"11": 0, "12": 0, "13": iou, "15": 0, "21": 0, "22": 0}
    )
    (suspect,) = Duplicate(evidence).ranked(9)
    assert (suspect.id, suspect.partner) == ("13", "11")
    assert suspect.partner_box == (10, 10, 40, 40)
    assert "Its mean score is 0.50, that of the other 0.90." in suspect.reason


def test_classes_that_the_data_set_lacks_are_not_proposed(evidence):
    """A detector may have more classes than its data."""
    objects = {**evidence.objects, "wrong_class": np.where(evidence.objects["id"] == "12", 7.0, 0)}
    places = {**evidence.places, "class": np.full_like(evidence.places["class"], 7)}
    others = dataclasses.replace(evidence, objects=objects, places=places)
    (suspect,) = WrongClass(others).ranked(9)
    assert (suspect.id, suspect.proposed_class) == ("12", None)
    assert suspect.score == next(WrongClass(evidence).ranked(9)).score
    assert "one that the data set lacks at 7 of them or more" in suspect.reason
    assert list(Missing(others).ranked(9)) == []


def random_evidence(seed, num_objects=30):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 40, (num_objects, 2))
    objects = {
        "image_id": rng.choice(["a", "b", "c"], num_objects).astype(object),
        "id": np.arange(num_objects).astype(str).astype(object),
        "class": rng.integers(0, 3, num_objects),
        "judged": rng.integers(0, 9, num_objects),
        "wrong_class": rng.choice([0, 1, 2, np.nan], num_objects),
        "wrong_class_least": rng.choice([1, 2, np.nan], num_objects),
        "score_mean": rng.choice([0.1, 0.5, np.nan], num_objects),
    }
    boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (num_objects, 2))], axis=1)
    return Evidence(CLASSES, objects, boxes, {}, np.empty((0, 4)), {}, np.empty((0, 2)))


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_are_their_definition(seed):
    evidence = random_evidence(seed)
    objects, found = evidence.objects, Duplicate(evidence).scores
    trust = np.nan_to_num(objects["score_mean"])
    for i in range(len(found)):
        best = 0.0
        for j in range(len(found)):
            if i == j or objects["image_id"][i] != objects["image_id"][j]:
                continue
            if (trust[i], -i) > (trust[j], -j):
                continue
            share = 1.0
            if objects["class"][i] != objects["class"][j]:
                is_said = objects["wrong_class"][i] == objects["class"][j]
                least = np.nan_to_num(objects["wrong_class_least"][i])
                share = is_said * least / max(objects["judged"][i], 1)
            best = max(best, share * iou_matrix(evidence.boxes[[i]], evidence.boxes[[j]]).item())
        assert found[i] == pytest.approx(best)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_of_nothing_has_no_suspects(kind):
    tables = {name: table.slice(0, 0) for name, table in make_tables().items()}
    assert list(kind(Evidence.of(make_content(), tables, DATASET, CLASSES)).ranked(5)) == []


def test_a_ledger_of_other_annotations_is_refused():
    content = make_content()
    del content["annotations"][0]
    with pytest.raises(KeyError, match="11"):
        Evidence.of(content, make_tables(), DATASET, CLASSES)
