"""datasets/prepare_bccd.py, on folders of a few images."""

import importlib.util
import json
import re

import pytest
from PIL import Image

from imbdet.config import load_config
from imbdet.config_files.keys import get_key
from imbdet.data import register_datasets
from imbdet.data.checks import load_dataset
from imbdet.modeling.detector_kind import num_classes_key
from tests.messages import assert_says
from tests.test_configs import CONFIGS

from detectron2.data import MetadataCatalog  # isort: skip  (after imbdet)

SPLITS = {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
# Class and box by image of 64 x 48, as Pascal VOC counts, from 1 and with the last pixel. The first
# box reaches beyond its image.
OBJECTS = {
    "a": [("RBC", 11, 21, 40, 60), ("WBC", 1, 1, 64, 48), ("Platelets", 5, 5, 6, 7)],
    "b": [("RBC", 2, 2, 30, 30)],
    "c": [],
    "d": [("WBC", 10, 10, 20, 20)],
}
# The same boxes from 0, with width and height, clipped to the image.
BOXES = {
    "a": [(1, [10, 20, 30, 28]), (2, [0, 0, 64, 48]), (3, [4, 4, 2, 3])],
    "b": [(1, [1, 1, 29, 29])],
    "c": [],
    "d": [(2, [9, 9, 11, 11])],
}
CLASSES = ["RBC", "WBC", "Platelets"]


def load_program(name="prepare_bccd"):
    path = CONFIGS.parent / "datasets" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


main = load_program().main


def save_image(path, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def write_xml(path, objects, size=(64, 48)):
    nodes = [
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
        f"<ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    ]
    width, height = size
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><size><width>{width}</width><height>{height}</height></size>"
        f"{''.join(nodes)}</annotation>"
    )


def make_voc(folder, objects=OBJECTS):
    for split, names in SPLITS.items():
        list_file = folder / "BCCD" / "ImageSets" / "Main" / f"{split}.txt"
        list_file.parent.mkdir(parents=True, exist_ok=True)
        list_file.write_text("\n".join(names) + "\n")
        for name in names:
            save_image(folder / "BCCD" / "JPEGImages" / f"{name}.jpg")
            write_xml(folder / "BCCD" / "Annotations" / f"{name}.xml", objects[name])
    return folder


def make_coco(folder):
    """Write a folder in COCO's form, with other ids and another order of the classes."""
    for split, names in SPLITS.items():
        boxes = [(name, *box) for name in names for box in BOXES[name]]
        content = {
            "images": [
                {"id": name, "file_name": f"{name}.jpg", "width": 64, "height": 48}
                for name in names
            ],
            "categories": [{"id": 9 - i, "name": name} for i, name in enumerate(CLASSES, 1)],
            "annotations": [
                {"id": i, "image_id": name, "category_id": 9 - k, "bbox": box}
                for i, (name, k, box) in enumerate(boxes)
            ],
        }
        path = folder / "annotations" / f"{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        for name in names:
            save_image(folder / "images" / f"{name}.jpg")
    return folder


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    return tmp_path / "datasets" / "bccd"


def boxes_of(target, split):
    content = json.loads((target / "annotations" / f"{split}.json").read_text())
    names = {image["id"]: image["file_name"][:-4] for image in content["images"]}
    assert [category["name"] for category in content["categories"]] == CLASSES
    boxes = {name: [] for name in names.values()}
    for note in content["annotations"]:
        boxes[names[note["image_id"]]].append((note["category_id"], note["bbox"]))
    return boxes


def test_a_list_has_a_name_on_each_line(tmp_path, target):
    source = make_voc(tmp_path / "source")
    for file in [*source.rglob("a.jpg"), *source.rglob("a.xml")]:
        file.rename(file.with_stem("a 1"))
    list_file = source / "BCCD" / "ImageSets" / "Main" / "train.txt"
    list_file.write_text("a 1\n\nb\n", encoding="utf-8-sig")
    assert main([str(source)]) == 0
    assert boxes_of(target, "train") == {"a 1": BOXES["a"], "b": BOXES["b"]}


@pytest.mark.parametrize("form", ["voc", "voc's folder BCCD", "coco"])
def test_both_forms_become_the_same(form, tmp_path, target, capsys):
    source = make_coco(tmp_path / "x") if form == "coco" else make_voc(tmp_path / "x")
    assert main([str(source / "BCCD" if "folder" in form else source)]) == 0
    for split, names in SPLITS.items():
        assert boxes_of(target, split) == {name: BOXES[name] for name in names}
        for name in names:
            assert (target / "images" / f"{name}.jpg").is_file()
    output = capsys.readouterr().out
    assert_says(output, "train: 2 images, 2 RBC, 1 WBC, 1 Platelets", "val: 1 image, 0 RBC")
    edge = "reach beyond their image, cut at its edge: 1 (first: object 1, 'RBC', of 'a.jpg')"
    assert (edge in output) == (form != "coco")
    assert [path.name for path in target.parent.iterdir()] == ["bccd"]


@pytest.mark.parametrize("root", [None, "~/datasets", "{tmp_path}/datasets"])
@pytest.mark.parametrize(
    "files",
    [
        ["BCCD/retinanet.yaml"],
        ["BCCD/faster_rcnn.yaml"],
        ["COCO-Detection/retinanet_R_50_FPN_1x.yaml", "BCCD/Setting-480px.yaml"],
    ],
    ids=" ".join,
)
def test_the_configs_find_it(files, root, tmp_path, target, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DETECTRON2_DATASETS")
    if root is not None:
        monkeypatch.setenv("DETECTRON2_DATASETS", root.format(tmp_path=tmp_path))
    main([str(make_coco(tmp_path / "x"))])
    cfg = load_config(*(str(CONFIGS / file) for file in files))
    assert get_key(cfg, num_classes_key(cfg)) == 3
    assert (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST) == (("bccd_train",), ("bccd_val",))
    register_datasets(cfg)
    for split, names in SPLITS.items():
        records = load_dataset(cfg, f"bccd_{split}")
        assert [record["file_name"] for record in records] == [
            str(target / "images" / f"{name}.jpg") for name in names
        ]
        assert MetadataCatalog.get(f"bccd_{split}").thing_classes == CLASSES


def test_defects_are_put_right_or_left_out_and_said(tmp_path, target, capsys):
    objects = {
        **OBJECTS,
        "a": [("RBC", 50, 40, 90, 60), ("RBC", 70, 10, 90, 20), ("RBC", 9, 9, 9, 9)],
        "b": [("rbc", 1, 1, 9, 9), ("", 1, 1, 9, 9), ("WBC", "nan", 1, 9, 9)],
    }
    source = make_voc(tmp_path / "x", objects)
    write_xml(source / "BCCD" / "Annotations" / "c.xml", [("WBC", 1, 1, 60, 40)], size=(0, 0))
    write_xml(source / "BCCD" / "Annotations" / "d.xml", [], size=(128, 96))
    assert main([str(source)]) == 0
    assert boxes_of(target, "train") == {"a": [(1, [49, 39, 15, 9])], "b": []}
    assert boxes_of(target, "val") == {"c": [(2, [0, 0, 60, 40])]}
    content = json.loads((target / "annotations" / "val.json").read_text())
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (64, 48)
    assert_says(
        capsys.readouterr().out,
        "their boxes are wrong: 1 (first: 'd.jpg' of 64 x 48 pixels, annotated as 128 x 96)\n",
        "class among RBC, WBC, Platelets, left out: 2 (first: object 1, 'rbc', of 'b.jpg')",
        "Boxes without area, of one pixel, or outside their image, left out: 3",
        "Boxes that reach beyond their image, cut at its edge: 1",
    )


def edit_annotations(source, split, edit):
    path = source / "annotations" / f"{split}.json"
    content = json.loads(path.read_text())
    edit(content["annotations"])
    path.write_text(json.dumps(content))


def test_crowds_stay_crowds(tmp_path, target):
    source = make_coco(tmp_path / "x")
    edit_annotations(source, "train", lambda notes: notes[1].update(iscrowd=1))
    assert main([str(source)]) == 0
    content = json.loads((target / "annotations" / "train.json").read_text())
    assert [note["iscrowd"] for note in content["annotations"]] == [0, 1, 0, 0]


def test_a_box_of_other_numbers_is_found_in_its_file(tmp_path, target, capsys):
    source = make_coco(tmp_path / "x")
    edit_annotations(source, "train", lambda notes: notes[-1].update(bbox=[1, 2, 3]))  # image "b"
    assert main([str(source)]) == 2
    assert_says(capsys.readouterr().err, "Annotation 3 of", "train.json' has no four numbers")


def test_a_second_run_changes_nothing(tmp_path, target, capsys):
    source = str(make_coco(tmp_path / "x"))
    assert main([source]) == 0
    (target / "annotations" / "note.txt").write_text("mine")
    assert main([source]) == 0
    assert_says(capsys.readouterr().out, "is there already", "Delete it")
    assert (target / "annotations" / "note.txt").exists()


def test_a_run_that_ends_early_leaves_nothing(tmp_path, target, monkeypatch, capsys):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", fail)
    source = str(make_coco(tmp_path / "x"))
    assert main([source]) == 2
    assert_says(capsys.readouterr().err, f"'{target}' cannot be written", "No space left")
    assert list(target.parent.iterdir()) == []


def remove(*parts):
    return lambda source: source.joinpath(*parts).unlink()


def write(text, *parts):
    return lambda source: source.joinpath(*parts).write_text(text)


@pytest.mark.parametrize(
    ("make", "damage", "words"),
    [
        (
            make_voc,
            remove("BCCD", "ImageSets", "Main", "val.txt"),
            "list of images .*val.txt' cannot be",
        ),
        (make_voc, remove("BCCD", "Annotations", "b.xml"), "annotation .*b.xml' cannot be read"),
        (make_voc, write("<annot", "BCCD", "Annotations", "b.xml"), "b.xml' cannot be read"),
        (
            make_voc,
            write("<a><object><name>RBC</name></object></a>", "BCCD", "Annotations", "b.xml"),
            r"Object 1 \('RBC'\) of '.*b.xml' has no number in its <xmin>: correct or remove it",
        ),
        (make_voc, remove("BCCD", "JPEGImages", "d.jpg"), "image .*d.jpg' cannot be read"),
        (
            make_voc,
            write("a\nb\na", "BCCD", "ImageSets", "Main", "train.txt"),
            "'a' is in line 1 of .* line 3",
        ),
        (make_voc, write("c", "BCCD", "ImageSets", "Main", "train.txt"), "'c.jpg' 2 times"),
        (make_coco, remove("annotations", "test.json"), "no annotation file .*test.json"),
        (make_coco, write("{}", "annotations", "test.json"), "test.json' is not in COCO format"),
        (make_coco, write("text", "images", "d.jpg"), "image .*d.jpg' cannot be read"),
    ],
)
def test_a_source_that_is_not_whole_is_refused(make, damage, words, tmp_path, target, capsys):
    source = make(tmp_path / "x")
    damage(source)
    assert main([str(source)]) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not target.exists()


def test_a_folder_that_is_something_else_is_refused(tmp_path, target, capsys):
    assert main([str(tmp_path)]) == 2
    assert_says(capsys.readouterr().err, f"'{tmp_path}' is not BCCD", "ImageSets/Main")
    assert main([str(tmp_path / "nowhere")]) == 2
    assert_says(capsys.readouterr().err, f"There is no folder '{tmp_path / 'nowhere'}'.")
    (target / "images").mkdir(parents=True)
    assert main([str(make_coco(tmp_path / "x"))]) == 2
    assert_says(capsys.readouterr().err, f"'{target}' exists and is not a prepared BCCD")
