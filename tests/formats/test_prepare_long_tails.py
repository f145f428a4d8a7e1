"""datasets/prepare_aquarium.py and prepare_debris.py, on folders of a few images."""

import json

import pytest

from imbdet.config import load_config
from imbdet.config_files.keys import get_key
from imbdet.data import register_datasets
from imbdet.data.checks import load_dataset
from imbdet.formats.conversion import AnnotatedImage, Object
from imbdet.modeling.detector_kind import num_classes_key
from tests.formats.test_prepare_bccd import load_program, save_image, write_xml
from tests.messages import assert_says
from tests.test_configs import CONFIGS

aquarium, debris = load_program("prepare_aquarium"), load_program("prepare_debris")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def make_aquarium(folder):
    for split, names in {"train": "ab", "valid": "cd", "test": "e"}.items():
        for i, name in enumerate(names):
            save_image(folder / split / "images" / f"{name}.jpg")
            label = folder / split / "labels" / f"{name}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text(f"{i} 0.5 0.5 0.25 0.5\n")
    return folder


def make_debris(folder, runs):
    """Write sequences of frames, each with some classes."""
    frames = [classes for classes, length in runs for _ in range(length)]
    for number, classes in enumerate(frames):
        objects = [(name, 0, 10, 32, 30) for name in classes]
        write_xml(folder / "Annotations" / f"{number:06}.xml", objects)
        save_image(folder / "JPEGImages" / f"{number:06}.jpg")
    return folder


def content_of(folder, split):
    content = json.loads((folder / "annotations" / f"{split}.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    boxes = [(names[note["category_id"]], note["bbox"]) for note in content["annotations"]]
    return [image["file_name"] for image in content["images"]], boxes


def test_the_larger_small_split_of_aquarium_is_the_test(tmp_path, root):
    assert aquarium.main([str(make_aquarium(tmp_path / "x"))]) == 0
    box = [24, 12, 16, 24]
    expected = {
        "train": (["a.jpg", "b.jpg"], [("fish", box), ("jellyfish", box)]),
        "val": (["e.jpg"], [("fish", box)]),
        "test": (["c.jpg", "d.jpg"], [("fish", box), ("jellyfish", box)]),
    }
    for split, content in expected.items():
        assert content_of(root / "aquarium", split) == content


def test_debris_boxes_are_counted_from_0(tmp_path, root):
    assert debris.main([str(make_debris(tmp_path / "x", [(["Bolt"], 41)]))]) == 0
    assert content_of(root / "debris", "train")[1][0] == ("Bolt", [0, 10, 32, 20])


@pytest.mark.parametrize("length", [1, 10, 41, 95, 1059])
def test_a_sequence_is_cut_into_splits_with_gaps(length):
    frames = [
        AnnotatedImage(None, f"{i}", (64, 48), [Object(name, [0, 0, 9, 9])])
        for name in ("Bolt", "Nut")
        for i in range(length)
    ]
    splits = debris.split_sequences(frames)
    places = {split: [int(i.file_name) for i in images] for split, images in splits.items()}
    one = [place for place in range(0, length, 10)]
    assert places["train"] == [p for p in one if p < 0.6 * length] * 2
    assert places["val"] == [p for p in one if 0.65 * length <= p < 0.73 * length] * 2
    assert places["test"] == [p for p in one if p >= 0.78 * length] * 2


def test_a_sequence_ends_where_the_classes_change(tmp_path):
    source = make_debris(tmp_path / "x", [(["Bolt"], 11), (["Bolt", "Nut"], 11), (["Bolt"], 11)])
    splits = debris.read(source)
    assert [image.file_name for image in splits["train"]] == [
        f"{number:06}.jpg" for number in (0, 11, 22)
    ]


@pytest.mark.parametrize("program", [aquarium, debris], ids=["aquarium", "debris"])
def test_another_folder_is_refused(program, tmp_path, root, capsys):
    assert program.main([str(tmp_path)]) == 2
    assert_says(capsys.readouterr().err, f"'{tmp_path}/", "name the folder of")
    assert not root.exists()


@pytest.mark.parametrize(("name", "num_classes"), [("aquarium", 7), ("debris", 31)])
def test_the_configs_find_them(name, num_classes, tmp_path, root):
    if name == "aquarium":
        aquarium.main([str(make_aquarium(tmp_path / "x"))])
    else:
        debris.main([str(make_debris(tmp_path / "x", [(["Bolt"], 200)]))])
    cfg = load_config(str(CONFIGS / name.capitalize() / "faster_rcnn.yaml"))
    assert get_key(cfg, num_classes_key(cfg)) == num_classes
    register_datasets(cfg)
    for split in ("train", "val", "test"):
        records = load_dataset(cfg, f"{name}_{split}")
        assert [record["file_name"] for record in records] == [
            str(root / name / "images" / file) for file in content_of(root / name, split)[0]
        ]
