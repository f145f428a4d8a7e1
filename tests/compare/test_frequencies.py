"""Rare, common and frequent classes in a comparison."""

import json

import numpy as np
import pytest

from imbdet.compare.compared_data import find_frequencies
from imbdet.compare.ground_truth import GroundTruth
from imbdet.compare.jackknife import draw_groups, replicated_ap
from imbdet.compare.run_folders import RunFolder
from imbdet.evaluation.matches import match
from imbdet.figures.coco_table import coco_table, group_classes
from tests.coco_metrics import compute_coco_metrics
from tests.compare.problems import OBJECTS, ground_truth, worked_example
from tests.evaluation.conftest import imperfect_detections

TRUTH = GroundTruth("tiny", ground_truth(OBJECTS), image_root="", json_file="")


def evaluated(folder, content):
    """A run with an evaluation of these contents."""
    path = folder / "inference" / "tiny" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return RunFolder(folder.name, folder, {}, None)


def test_groups_are_those_of_the_evaluation(tmp_path):
    groups = {"a": "f", "b": "r"}
    base = evaluated(tmp_path / "base", {"frequencies": {**groups, "gone": "c"}})
    assert find_frequencies([base], TRUTH) == (groups, [])
    other = evaluated(tmp_path / "other", {"frequencies": {"a": "c", "b": "r"}})
    found, (sentence,) = find_frequencies([base, other], TRUTH)
    assert found == groups
    assert sentence == (
        "other was evaluated with other rare, common and frequent classes than base: those of base "
        "count here."
    )


@pytest.mark.parametrize("content", [{}, [], {"frequencies": 3}, {"frequencies": {"a": []}}])
def test_an_evaluation_that_knows_none_leaves_it_to_the_next(tmp_path, content):
    old = evaluated(tmp_path / "old", content)
    assert find_frequencies([old], TRUTH) == ({}, [])
    new = evaluated(tmp_path / "new", {"frequencies": {"a": "r"}})
    assert find_frequencies([old, new], TRUTH) == ({"a": "r"}, [])


def test_lvis_says_itself_which_classes_are_rare():
    content = {"categories": [{"id": 1, "name": "a", "frequency": "c"}]}
    truth = GroundTruth("tiny", content, "", "", "lvis")
    assert find_frequencies([], truth) == ({"a": "c"}, [])


def test_groups_have_classes_with_objects_and_their_images():
    by_class = worked_example().by_class  # "a" has objects in two images, "b" in one
    groups = group_classes(by_class, {"a": "f", "b": "f", "c": "r"})
    assert list(groups) == ["APf"]
    assert (groups["APf"].places, groups["APf"].num_images) == ([0, 1], 2)
    assert group_classes(by_class, {"b": "c"})["APc"].num_images == 1


def test_means_of_groups_are_those_of_the_evaluation(sample):
    detections = imperfect_detections(sample, seed=0)
    metrics = compute_coco_metrics(sample, detections, iou_type="bbox", library="faster-coco-eval")
    known = [name for name, values in metrics.per_class.items() if values["objects"]]
    frequencies = {name: "rcf"[i % 3] for i, name in enumerate(known)}
    matches = match(sample, detections)
    replicated = replicated_ap(matches.by_class, draw_groups(len(matches.images)))
    table = coco_table(
        matches.images_of_area,
        {"base": replicated, "other": replicated},
        group_classes(matches.by_class, frequencies),
    )
    assert list(table.values["base"])[-3:] == ["APr", "APc", "APf"]
    for letter in "rcf":
        of_group = [metrics.per_class[name]["AP"] for name in known if frequencies[name] == letter]
        found = table.values["base"][f"AP{letter}"]
        assert found.value == pytest.approx(np.mean(of_group))
        assert found.low < found.value < found.high
        assert table.differences["other"][f"AP{letter}"].value == 0
    num_rare = sum(group == "r" for group in frequencies.values())
    assert f"Over {num_rare} rare classes, APr of base" in table.sentence()
