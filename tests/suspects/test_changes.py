"""Suspects in a copy of the annotations, and in exports for other programs."""

import copy
import dataclasses
from urllib.parse import parse_qs, urlsplit

import pytest

from imbdet.suspects import KINDS, Evidence
from imbdet.suspects.changes import POLICIES, Changes
from imbdet.suspects.exports import to_fiftyone, to_label_studio
from tests.suspects.factories import CLASSES, DATASET, make_content, make_tables

IDS = [10, 20, 30]


@pytest.fixture(scope="module")
def suspects():
    evidence = Evidence.of(make_content(), make_tables(), DATASET, CLASSES)
    # The first suspect of each kind: 12, 21, the dog of image 3, and 13, a duplicate of 11.
    return [next(kind(evidence).ranked(1)) for kind in KINDS]


def changed(suspects, policy, content=None):
    content = make_content() if content is None else content
    before = copy.deepcopy(content)
    made = Changes(suspects, policy, IDS).apply(content)
    assert content == before
    assert made["info"] == {"kept": True}
    return {note["id"]: note for note in made["annotations"]}


@pytest.mark.parametrize("policy", POLICIES)
def test_others_stay_as_they_are(policy, suspects):
    before = {note["id"]: note for note in make_content()["annotations"]}
    after = changed(suspects, policy)
    assert {after[note_id]["extra"] for note_id in (11, 14, 22)} == {"stays"}
    assert all(after[note_id] == before[note_id] for note_id in (11, 14, 22))
    assert Changes(suspects, policy, IDS).count == 4


def test_ignore(suspects):
    content = make_content()
    content["annotations"][1]["weight"] = 2.0
    after = changed(suspects, "ignore", content)
    assert [note_id for note_id, note in after.items() if note.get("ignore")] == [12, 13, 21, 23]
    assert "weight" not in after[12]
    assert after[12]["suspect"] == "wrong_class"
    assert after[23]["image_id"] == 3


def test_weight(suspects):
    content = make_content()
    content["annotations"][1]["weight"] = 2.0
    after = changed(suspects, "weight", content)
    score = {suspect.id: suspect.score for suspect in suspects}
    assert after[12]["weight"] == pytest.approx(2 * (1 - score["12"]))
    assert after[21]["weight"] == pytest.approx(1 - score["21"])
    assert after[23]["ignore"] == 1


def test_change(suspects):
    after = changed(suspects, "change")
    assert after[12]["category_id"] == 30
    assert after[21]["bbox"] == [30, 20, 40, 40]
    assert 13 not in after
    assert after[23]["bbox"] == pytest.approx([30, 30, 30, 40], abs=0.01)
    assert (after[23]["category_id"], after[23].get("ignore")) == (20, None)


def test_a_box_is_not_moved_without_its_mask(suspects):
    content = make_content()
    content["annotations"][5]["segmentation"] = [[20, 20, 60, 20, 60, 60]]
    after = changed(suspects, "change", content)
    assert (after[21]["bbox"], after[21]["ignore"]) == ([20, 20, 40, 40], 1)


def test_ids_may_be_texts(suspects):
    content = make_content()
    for note in content["annotations"]:
        note["id"] = str(note["id"])
    assert "missing-1" in changed(suspects, "change", content)


def test_label_studio(suspects):
    content = make_content()
    content["images"][2]["file_name"] = name = "a/50% + b&c #3.png"
    tasks = to_label_studio(content, suspects, CLASSES)
    addresses = [urlsplit(task["data"]["image"]) for task in tasks]
    files = [parse_qs(address.query) for address in addresses]
    assert files == [{"d": [file]} for file in ("image 1.png", name, "image 2.png")]
    (annotated,) = tasks[0]["annotations"]
    assert [result["id"] for result in annotated["result"]] == ["11", "12", "13", "14", "15"]
    first = annotated["result"][0]
    assert first["value"]["rectanglelabels"] == ["cat"]
    assert [first["value"][key] for key in ("x", "y", "width", "height")] == [10, 10, 30, 30]
    wrong_class, duplicate = tasks[0]["predictions"]
    assert wrong_class["result"][0]["value"]["rectanglelabels"] == ["fish <b>"]
    assert duplicate["result"] == []
    (missing,) = tasks[1]["predictions"]
    assert missing["result"][0]["value"]["x"] == pytest.approx(30)
    assert 0 < missing["score"] < 1


def test_fiftyone(suspects):
    # An annotation of two kinds has the one with the higher score; classes are identified by
    # their numbers, whatever their names in the file.
    lower = dataclasses.replace(suspects[1], id="12", score=0.01)
    names = ["Cat", "Dog", "Fish"]
    content = to_fiftyone(make_content(), [lower, *suspects], names, IDS)
    notes = {n["id"]: n for n in content["annotations"]}
    assert notes[12]["suspect"] == "wrong_class"
    assert notes[12]["proposed_class"] == "Fish"
    assert "suspect" not in notes[11]
    assert notes[23]["category_id"] == 20
    assert notes[23]["proposed_class"] == "Dog"
    assert notes[23]["bbox"] == pytest.approx([30, 30, 30, 40], abs=0.01)
