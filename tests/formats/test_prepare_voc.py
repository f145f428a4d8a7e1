"""datasets/prepare_voc.py, on folders of a few images."""

import json
import re
import shutil

import pytest
from PIL import ExifTags, Image

from imbdet.config import load_config
from imbdet.data import build_train_loader, register_datasets
from imbdet.data.images import find_image_problem
from imbdet.modeling import refuse_unread_keys
from tests.formats.test_prepare_bccd import load_program, save_image, write_xml
from tests.messages import assert_says
from tests.test_configs import CONFIGS

program = load_program("prepare_voc")
OBJECTS = {
    "a": [("dog", 11, 21, 40, 60), ("cat", 1, 1, 64, 48)],
    "b": [("dog", 2, 2, 30, 30)],
    "c": [],
    "d": [("cat", 10, 10, 20, 20)],
    "e": [("cat", 5, 5, 5, 5)],
}


@pytest.fixture
def pets(tmp_path):
    """Images and XML files beside each other."""
    folder = tmp_path / "pets"
    for name, objects in OBJECTS.items():
        save_image(folder / "photos" / f"{name}.png")
        write_xml(folder / "photos" / f"{name}.xml", objects)
    return folder


def add_lists(folder, **names):
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, of_split in names.items():
        (lists / f"{split}.txt").write_text("\n".join(of_split) + "\n")


def read(folder, split):
    return json.loads((folder / "annotations" / f"{split}.json").read_text())


def test_the_lists_say_what_is_for_what(pets, capsys):
    add_lists(pets, train=["a", "b"], val=["c"], test=["d"])
    assert program.main([str(pets)]) == 0
    train = read(pets, "train")
    assert [image["file_name"] for image in train["images"]] == ["photos/a.png", "photos/b.png"]
    assert train["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    boxes = [(note["category_id"], note["bbox"]) for note in train["annotations"]]
    assert boxes == [(2, [10, 20, 30, 28]), (1, [0, 0, 64, 48]), (2, [1, 1, 29, 29])]
    assert len(read(pets, "val")["images"]) == len(read(pets, "test")["images"]) == 1
    out = capsys.readouterr().out
    assert "train.json': 2 images, 1 cat, 2 dog\n" in out
    assert "in no list, left out: 1\n" in out
    assert "cut at its edge: 1 (first: object 1, 'dog', of 'photos/a.png')\n" in out
    assert "Images in train.txt" not in out


def test_segmentations_are_no_images(pets):
    (pets / "photos").rename(pets / "JPEGImages")
    save_image(pets / "SegmentationClass" / "a.png")
    add_lists(pets, train=["a"], val=["b"])
    assert program.main([str(pets)]) == 0
    assert read(pets, "train")["images"][0]["file_name"] == "JPEGImages/a.png"


def test_images_of_the_training_in_another_split_are_counted(pets, capsys):
    add_lists(pets, train=["a", "b", "d"], val=["d", "e", "b"], test=["c"])
    assert program.main([str(pets)]) == 0
    out = capsys.readouterr().out
    assert out.count("Images in train.txt") == 1
    assert "and in val.txt, on which results are too good: 2 (first: 'd', 'b')\n" in out


def test_images_of_two_splits_to_look_at_are_counted_as_well(pets, capsys):
    add_lists(pets, train=["a"], val=["b", "d"], test=["c", "d"])
    assert program.main([str(pets)]) == 0
    out = capsys.readouterr().out
    assert "Images in val.txt and in test.txt, on which results are too good: 1 (first: 'd')" in out


def test_without_lists_some_images_are_for_validation(pets, capsys):
    assert program.main([str(pets)]) == 0
    names = {s: {i["file_name"] for i in read(pets, s)["images"]} for s in ("train", "val")}
    assert len(names["train"]) == 4
    assert len(names["val"]) == 1
    assert not names["train"] & names["val"]
    assert "outside their image, left out: 1 (first: object 1, 'cat', of" in capsys.readouterr().out
    before = read(pets, "train")
    assert program.main([str(pets)]) == 0  # once more, the same
    assert read(pets, "train") == before


def test_difficult_objects_are_crowds(pets):
    file = pets / "photos" / "b.xml"
    file.write_text(file.read_text().replace("</name>", "</name><difficult>1</difficult>"))
    add_lists(pets, train=["a", "b"], val=["c"])
    program.main([str(pets)])
    assert [note["iscrowd"] for note in read(pets, "train")["annotations"]] == [0, 0, 1]


def test_names_may_have_spaces(pets):
    for suffix in (".png", ".xml"):
        (pets / "photos" / f"a{suffix}").rename(pets / "photos" / f"a dog{suffix}")
    add_lists(pets, train=["a dog", "b"], val=["c"])
    assert program.main([str(pets)]) == 0
    assert read(pets, "train")["images"][0]["file_name"] == "photos/a dog.png"


@pytest.mark.parametrize("annotated_size", [(48, 64), (64, 48), (0, 0)])
def test_boxes_are_of_the_image_turned_by_its_exif_orientation(pets, annotated_size, capsys):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (64, 48)).save(pets / "photos" / "a.png", exif=exif)  # shown as 48 x 64
    write_xml(pets / "photos" / "a.xml", [("dog", 11, 21, 40, 60)], annotated_size)
    add_lists(pets, train=["a", "b"], val=["c"])
    assert program.main([str(pets)]) == 0
    content = read(pets, "train")
    if annotated_size == (64, 48):
        assert [image["file_name"] for image in content["images"]] == ["photos/b.png"]
        assert "asks for, left out: 1 (first: 'photos/a.png')\n" in capsys.readouterr().out
    else:
        image, box = content["images"][0], content["annotations"][0]["bbox"]
        assert (image["width"], image["height"]) == (48, 64)
        assert box == [10, 20, 30, 40]
        assert (
            find_image_problem({**image, "file_name": str(pets / "photos" / "a.png")}, "BGR")
            is None
        )


def printed_config(text):
    return re.search(r"Save as configs/pets\.yaml:\n\n(.*?\n)\nand train:", text, re.DOTALL)[1]


def test_a_training_can_use_the_config(pets, tmp_path, capsys):
    add_lists(pets, train=["a", "b"], val=["d"])
    program.main([str(pets)])
    out = capsys.readouterr().out
    assert out.endswith("train_net.py --config-file configs/pets.yaml\n")
    shutil.copytree(CONFIGS, tmp_path / "configs")
    config = tmp_path / "configs" / "pets.yaml"
    config.write_text(printed_config(out))
    cfg = load_config(str(config))
    assert cfg.MODEL.RETINANET.NUM_CLASSES == cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2
    refuse_unread_keys(cfg)
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.DATALOADER.NUM_WORKERS = 0
    register_datasets(cfg)
    batch = next(iter(build_train_loader(cfg)))
    assert sorted(len(item["instances"]) for item in batch) == [1, 2]


def test_the_pages_have_the_same_choice_of_bases(pets, capsys):
    program.main([str(pets)])
    head, _ = printed_config(capsys.readouterr().out).split("DATASETS:")
    for page in ("README.md", "docs/data.md"):
        assert f"```yaml\n{head}DATASETS:" in (CONFIGS.parent / page).read_text()


def replace(name, old, new):
    def damage(folder):
        file = folder / "photos" / name
        file.write_text(file.read_text().replace(old, new, 1))

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "There is no folder '{folder}'."),
        (lambda folder: [f.unlink() for f in folder.rglob("*.xml")], "has no XML file in it"),
        (
            lambda folder: (folder / "photos" / "a.png").unlink(),
            "no images with the name 'a', for '",
        ),
        (
            lambda folder: save_image(folder / "a.jpg"),
            "2 images with the name 'a' ({folder}/a.jpg, {folder}/photos/a.png), for '",
        ),
        (lambda folder: (folder / "photos" / "a.xml").write_text("<a"), "a.xml' cannot be read"),
        (
            replace("a.xml", "<ymin>1</ymin>", ""),
            "Object 2 ('cat') of '{folder}/photos/a.xml' has no number in its <ymin>: correct or",
        ),
        (replace("a.xml", "40", "4O"), "Object 1 ('dog') of"),
        (replace("a.xml", "40", "4O"), "has no number in its <xmax>, but '4O': correct"),
        (replace("a.xml", "64", "?"), "a.xml' has no number in its <width>, but '?'"),
        (
            replace("a.xml", "<name>cat", "<name> "),
            "Object 2 of '{folder}/photos/a.xml' has no class: write it into its <name>",
        ),
        (lambda folder: add_lists(folder, train=["a"]), "has only train.txt"),
        (
            lambda folder: add_lists(folder, train=["a"], val=["b", "z"]),
            "no XML files with the name 'z', for line 2 of '{folder}/ImageSets/Main/val.txt'",
        ),
        (lambda folder: add_lists(folder, train=[""], val=["a"]), "train.txt' is empty"),
        (
            lambda folder: (
                add_lists(folder, train=["a"], val=["e"]),
                (folder / "photos" / "e.png").write_text(""),
            ),
            "The image '{folder}/photos/e.png' cannot be read",
        ),
        (lambda folder: [write_xml(f, []) for f in folder.rglob("*.xml")], "has an object"),
    ],
)
def test_bad_input_is_one_clear_error(pets, damage, words, capsys):
    damage(pets)
    assert program.main([str(pets)]) == 2
    assert_says(capsys.readouterr().err, words.format(folder=pets))
    assert not (pets / "annotations").exists()


def test_some_images_must_be_left_for_each_split(pets, capsys):
    assert program.main([str(pets), "--val-share", "0.01"]) == 2
    assert "--val-share is 0.01" in capsys.readouterr().err
