"""``imbdet advise`` on the sample of COCO."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import imbdet.cli
from imbdet.advice.findings import Finding
from imbdet.config import load_config
from imbdet.data.resizing import training_scales
from imbdet.modeling import build_model
from imbdet.search.space import Final, read_space
from imbdet.surveying import usable_choices
from tests.advice.test_survey import write_ledger
from tests.data.conftest import toy  # noqa: F401  (a fixture)
from tests.narrow import NARROW

SAMPLE = str(Path(__file__).parents[1] / "assets" / "coco_sample.json")
SMALL = ["--config-file", "imbdet://quick_start/retinanet.yaml"]


def advise(*args):
    return imbdet.cli.main(["advise", *args])


def data(json_file=SAMPLE, *, to_test_on=None):
    files = {"advised": json_file, **({"tested": to_test_on} if to_test_on else {})}
    entries = [{"NAME": k, "JSON": str(v), "IMAGES": "nowhere"} for k, v in files.items()]
    keys = ["DATASETS.COCO", repr(entries)]
    return [*keys, "DATASETS.TRAIN", "('advised',)", "DATASETS.TEST", f"('{entries[-1]['NAME']}',)"]


def test_annotations_alone_are_enough(capsys):
    assert advise("--annotations", SAMPLE, *SMALL) == 0
    said = capsys.readouterr().out
    assert "to train on: 19 images, 169 objects" in said
    assert "to test on" not in said
    assert "at a short side of 192 pixels" in said
    assert "A class is rare: " in said


def test_a_config_gets_a_space_that_it_can_use(tmp_path, capsys):
    path = tmp_path / "space.yaml"
    keys = ["MODEL.ASSIGNER.NAME", "atss"]
    assert advise(*SMALL, "--space", str(path), *data(), *keys) == 0
    said = capsys.readouterr().out
    assert f"'{path}' has the plain config and repeat_factor" in said
    assert "Before `imbdet search`, name the data set of its last comparison" in said
    assert "imbdet://Loss-EFL.yaml" in path.read_text()
    assert "MODEL.ASSIGNER.NAME: atss" in path.read_text()


def test_a_third_data_set_is_for_the_last_comparison(tmp_path, capsys):
    path = tmp_path / "space.yaml"
    entries = [{"NAME": name, "JSON": SAMPLE, "IMAGES": "x"} for name in ("a", "b", "c")]
    keys = ["DATASETS.COCO", repr(entries), "DATASETS.TRAIN", "('a',)", "DATASETS.TEST", "('b',)"]
    assert advise(*SMALL, "--space", str(path), *keys) == 0
    said = capsys.readouterr().out
    space = read_space(path)
    assert space.final == Final("c", [11, 12, 13])
    assert "Before `imbdet search`" not in said
    # All arms train to the first rung, a quarter of 450 iterations, and two to the end.
    budget = 3 * (len(space.arms) * 112 + 2 * (450 - 112))
    assert f"imbdet search --space {path} --output output/search --iterations {budget}" in said


def changed(tmp_path, change):
    content = json.loads(Path(SAMPLE).read_text())
    for note in content["annotations"]:
        note["bbox"] = change(note["bbox"])
    (tmp_path / "changed.json").write_text(json.dumps(content))
    return tmp_path / "changed.json"


def as_corners(box):
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def test_corners_are_no_wrong_labels(tmp_path, capsys):
    assert advise(*SMALL, *data(changed(tmp_path, as_corners))) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("WARNING Data set 'advised': ") == 1
    assert "Boxes are read as [left, top, width, height] in pixels: these may be corners" in said
    assert "far beyond their image" not in said


def test_corners_of_test_data_are_said_as_well(tmp_path, capsys):
    assert advise(*SMALL, *data(to_test_on=changed(tmp_path, as_corners))) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "WARNING Data set 'tested': " in said
    assert "WARNING Data set 'advised': " not in said


def test_invalid_boxes_are_named(tmp_path, capsys):
    def change(box, first=[True]):  # noqa: B006  (of the first box)
        return [box[0], box[1], -5, 3] if first and first.pop() else box

    assert advise(*SMALL, *data(changed(tmp_path, change))) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "WARNING Data set 'advised' has invalid boxes: 1 " in said
    assert ", -5, 3] of annotation " in said


def test_another_number_of_classes_is_said_of_a_config(capsys):
    assert advise(*SMALL, *data()) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "80 classes, but MODEL.RETINANET.NUM_CLASSES is 3: set it to 80." in said
    assert advise(*SMALL, "--annotations", SAMPLE) == 0
    assert "NUM_CLASSES" not in capsys.readouterr().out


def test_choices_that_a_config_has_or_cannot_have_are_left_out():
    findings = [Finding(name, True, "") for name in ("long_tail", "mostly_background")]
    files = ["imbdet://Aquarium/faster_rcnn.yaml", "imbdet://Loss-Seesaw.yaml"]
    choices, refused = usable_choices(files, [], findings)
    assert "eqlv2" in choices
    assert "the config has already" in refused["seesaw"]
    assert "a backbone of its own" in refused["libra"]


BAD = {
    "no config": ([], "--config-file FILE"),
    "a space of annotations": (["--annotations", SAMPLE, "--space", "x.yaml"], "--space"),
    "no file": (["--annotations", "nowhere.json"], "There is no file 'nowhere.json'"),
    "no training data": ([*SMALL, "DATASETS.TRAIN", "()"], "DATASETS.TRAIN is empty"),
    "no run": ([*SMALL, "--run", "nowhere", *data()], "neither a checkpoint nor a ledger"),
    "a run without a config": (["--run", "nowhere"], "nowhere/config.yaml"),
    "bounds": ([*SMALL, *data(), "TEST.FREQUENCY_BOUNDS", "(10,)"], "is (10,): it must be two "),
    "unknown key": ([*SMALL, "MODEL.CLS_LOS.NAME", "ap"], "MODEL.CLS_LOSS.NAME"),
}


@pytest.mark.parametrize(("args", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence(args, words, capsys):
    assert advise(*args) == 2
    assert_is_one_sentence(capsys.readouterr().err, words)


def assert_is_one_sentence(error, words):
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1


def test_data_without_images_are_said(tmp_path, capsys):
    content = json.loads(Path(SAMPLE).read_text())
    content["images"], content["annotations"] = [], []
    (tmp_path / "empty.json").write_text(json.dumps(content))
    assert advise(*SMALL, *data(tmp_path / "empty.json")) == 2
    assert "no images in advised" in capsys.readouterr().err


def test_a_ledger_of_other_data_is_refused(tmp_path, capsys):
    write_ledger(tmp_path, classes=[1, 80, 0, 0])
    assert advise("--annotations", SAMPLE, "--run", str(tmp_path), *SMALL) == 2
    assert "a class of number 80, but the training data have 80" in capsys.readouterr().err


SIZES = [
    (("INPUT.MIN_SIZE_TRAIN", "(50, 60, 70)", "INPUT.MAX_SIZE_TRAIN", "500"), 0.6),
    (("INPUT.MIN_SIZE_TRAIN", "(50,)", "INPUT.MAX_SIZE_TRAIN", "100"), 0.5),
    (("INPUT.MIN_SIZE_TRAIN", "(0,)"), 1.0),
    (("INPUT.AUGMENTATION", "ssd", "INPUT.SSD.SIZE", "300"), (1.5, 3.0)),
]


@pytest.mark.parametrize(("opts", "scale"), SIZES)
def test_images_are_resized_as_in_training(opts, scale):
    scales, _ = training_scales(load_config(opts=opts), np.array([[200.0, 100.0]]))
    assert scales == pytest.approx(np.broadcast_to(scale, (1, 2)))


def opts(keys):
    return [str(x) for pair in keys.items() for x in pair]


def data_of(toy):  # noqa: F811
    entries = {"COCO": [toy.entry()], "TRAIN": ("toy",), "TEST": ()}
    return opts({f"DATASETS.{key}": value for key, value in entries.items()})


@pytest.fixture
def run_folder(toy, tmp_path):  # noqa: F811
    """The folder of a training on toy data, which ended before it began."""
    toy.save()
    keys = {**NARROW, "MODEL.RETINANET.NUM_CLASSES": 2, "DATALOADER.NUM_WORKERS": 0}
    cfg = load_config(SMALL[1], opts=[*opts(keys), *data_of(toy)])
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(cfg.dump())
    cfg.MODEL.DEVICE = "cpu"
    torch.save({"model": build_model(cfg).state_dict()}, folder / "model_final.pth")
    return folder


def test_a_run_is_enough(run_folder, capsys):
    assert advise("--run", str(run_folder), "--num-images", "2") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "of ImbRetinaNet in 2 of 3 training images, drawn with a fixed seed" in said
    assert f"by the checkpoint '{run_folder}/model_final.pth'" in said
    assert "Doubts by the checkpoint, which has one sight of these images" in said


def test_a_ledger_is_asked_for_doubts_and_the_checkpoint_for_samples(run_folder, capsys):
    write_ledger(run_folder, classes=[1, 1, 0, 0])
    assert advise("--run", str(run_folder)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Samples of ImbRetinaNet in 3 of 3 training images" in said
    assert f"Doubts by the ledger of '{run_folder}', which has all sights of the training" in said


def test_a_run_is_asked_with_its_own_config(run_folder, toy, capsys):  # noqa: F811
    other = ["--config-file", "imbdet://quick_start/faster_rcnn.yaml"]
    assert advise(*other, "--run", str(run_folder), *data_of(toy)) == 0
    said = capsys.readouterr().out
    assert "Anchors  of ImbRPN" in said
    assert "Samples  of ImbRetinaNet" in said


@pytest.mark.parametrize("name", ["nowhere.pth", "other.pth"])
def test_weights_that_cannot_be_loaded_are_one_sentence(name, run_folder, capsys):
    torch.save({"model": {"weight": torch.zeros(1)}}, run_folder / "other.pth")
    path = str(run_folder / name)
    config = ["--config-file", str(run_folder / "config.yaml")]
    assert advise(*config, "--weights", path) == 2
    assert_is_one_sentence(capsys.readouterr().err, f"Cannot load '{path}'")


def test_a_run_whose_data_are_gone_is_one_sentence(run_folder, toy, capsys):  # noqa: F811
    toy.json_file.unlink()
    assert advise("--run", str(run_folder)) == 2
    assert_is_one_sentence(capsys.readouterr().err, str(toy.json_file))
