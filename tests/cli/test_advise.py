"""``imbdet advise`` on the sample of COCO."""

import json
from pathlib import Path

import numpy as np
import pytest

import imbdet.cli
from imbdet.advice.findings import Finding
from imbdet.config import load_config
from imbdet.data.resizing import training_scales
from imbdet.surveying import usable_choices
from tests.advice.test_survey import write_ledger

SAMPLE = str(Path(__file__).parents[1] / "assets" / "coco_sample.json")
SMALL = ["--config-file", "imbdet://quick_start/retinanet.yaml"]


def advise(*args):
    return imbdet.cli.main(["advise", *args])


def data(json_file=SAMPLE):
    entry = {"NAME": "advised", "JSON": str(json_file), "IMAGES": "nowhere"}
    keys = ["DATASETS.COCO", repr([entry])]
    return [*keys, "DATASETS.TRAIN", "('advised',)", "DATASETS.TEST", "('advised',)"]


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
    assert "imbdet://Loss-EFL.yaml" in path.read_text()
    assert "MODEL.ASSIGNER.NAME: atss" in path.read_text()


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
    "no file": (["--annotations", "nowhere.json"], "nowhere.json"),
    "no training data": ([*SMALL, "DATASETS.TRAIN", "()"], "DATASETS.TRAIN is empty"),
    "no ledger": ([*SMALL, "--run", "nowhere"], "nowhere/ledger/objects.parquet"),
    "unknown key": ([*SMALL, "MODEL.CLS_LOS.NAME", "ap"], "MODEL.CLS_LOSS.NAME"),
}


@pytest.mark.parametrize(("args", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence(args, words, capsys):
    assert advise(*args) == 2
    error = capsys.readouterr().err
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
