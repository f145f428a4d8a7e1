"""Configs that a search refuses before it trains."""

import json
import shutil
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog

from imbdet.cli import main
from imbdet.config import load_config
from imbdet.engine.setup import check_config
from imbdet.errors import UserError
from imbdet.search.overwriting import refuse_overwriting
from imbdet.search.results import write_winner
from imbdet.search.searched_configs import check_arms, load_arm
from imbdet.search.space import read_space
from tests.test_train_net import TINY

KEYS = "".join(f"  {key}: {value}\n" for key, value in TINY.items())
SPACE = f"""
base: ["imbdet://quick_start/retinanet.yaml"]
axes: {{loss: {{focal: [], ap: "imbdet://Loss-AP.yaml"}}}}
seeds: [1, 2]
final: {{dataset: shapes_test, seeds: [3, 4]}}
overrides:
{KEYS}  SOLVER.WARMUP_ITERS: 1
"""


@pytest.fixture(autouse=True)
def _own_datasets(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path_factory.getbasetemp() / "datasets"))


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        (tmp_path / "space.yaml").write_text(text)
        return read_space(tmp_path / "space.yaml")

    return write_and_read


def test_arms_share_rungs_and_data(read):
    assert check_arms(read(SPACE)) == ((4,), "shapes_val")
    assert check_arms(read(SPACE + "rungs: [1, 3, 4]"))[0] == (1, 3, 4)


BAD = {
    "an unknown key": (
        "focal: []",
        "focal: {MODEL.X: 1}",
        "'focal' cannot be trained: Unknown key 'MODEL.X' in the space.",
    ),
    "an unknown loss": ("focal: []", "focal: {MODEL.CLS_LOSS.NAME: app}", "app"),
    "a value of another type": ("focal: []", "focal: {SOLVER.MAX_ITER: x}", "a whole number"),
    "another schedule": ("focal: []", "focal: {SOLVER.MAX_ITER: 5}", "5 in 'focal' and 4 in 'ap'"),
    "other images": ("focal: []", "focal: {DATASETS.SHAPES.SEED: 7}", "7 in 'focal' and 0 in 'ap'"),
    "another evaluation": (
        "focal: []",
        "focal: {TEST.MAX_DETECTIONS: 20}",
        "MAX_DETECTIONS is 20 in 'focal' and 100 in 'ap'",
    ),
    "no validation": ("overrides:", "overrides:\n  DATASETS.TEST: []", "on one data set"),
    "rungs behind the end": ("seeds: [1, 2]", "seeds: [1, 2]\nrungs: [1, 9]", "SOLVER.MAX_ITER, 4"),
    "validation at the end": ("shapes_test", "shapes_val", "share 6 images"),
    "training at the end": ("shapes_test", "shapes_train", "share 12 images"),
    "an unknown split": (
        "shapes_test",
        "shapes_tset",
        "final names a data set 'shapes_tset' that does not",
    ),
    "an end by evaluations": (
        "focal: []",
        "focal: {TEST.EVAL_PERIOD: 1, TEST.BEST.METRIC: bbox/AP, TEST.BEST.PATIENCE: 2}",
        "'focal' has a TEST.BEST.PATIENCE of 2",
    ),
    "no split": ("shapes_test", "''", "final names a data set '' that does not exist"),
}


@pytest.mark.parametrize(("old", "new", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence(old, new, message, read):
    with pytest.raises(UserError) as caught:
        check_arms(read(SPACE.replace(old, new, 1)))
    assert message in str(caught.value)


OVERWRITING = """
base: ["imbdet://quick_start/retinanet.yaml"]
axes:
  loss: {focal: [], ap: "imbdet://Loss-AP.yaml"}
  sampler: {all: [], ohem: "imbdet://Sampler-OHEM-Dense.yaml"}
learning_rates: [0.1, 0.2]
"""


@pytest.mark.parametrize("flags", [["--grid"], ["--iterations", "9"]], ids=["grid", "search"])
def test_choices_that_overwrite_each_other_are_refused(flags, tmp_path, capsys):
    final = "seeds: [1, 2]\nfinal: {dataset: x, seeds: [3, 4]}"
    (tmp_path / "space.yaml").write_text(OVERWRITING + final)
    words = ["--space", str(tmp_path / "space.yaml"), "--output", str(tmp_path / "o")]
    assert main(["search", *words, *flags]) == 2
    error = capsys.readouterr().err
    assert "'ap' of the axis 'loss' makes MODEL.CLS_LOSS.NAME 'ap', and 'ohem' of " in error
    assert not (tmp_path / "o").exists()


def test_choices_of_the_same_value_or_on_one_axis_overwrite_nothing(read):
    one_axis = OVERWRITING.replace("}\n  sampler: {all: [], ", ", ")
    same = OVERWRITING.replace("ohem: ", "ap too: ").replace("Sampler-OHEM-Dense", "Loss-AP")
    for text in (one_axis, same, SPACE):
        refuse_overwriting(read(text))


def test_the_winners_config_needs_no_other_file(read, tmp_path):
    arm = read(SPACE + "learning_rates: [0.02]").arms["ap-lr_0.02"]
    write_winner(tmp_path / "winner.yaml", arm, ["AP is better: it says so."])
    found = load_config(str(tmp_path / "winner.yaml"))
    expected = load_arm(arm)
    expected.OUTPUT_DIR, expected.SEED = found.OUTPUT_DIR, found.SEED
    assert found == expected
    assert found.SOLVER.BASE_LR == 0.02
    text = Path(tmp_path / "winner.yaml").read_text()
    assert text.startswith("# AP is better: it says so.\n")
    assert "_BASE_" not in text


@pytest.fixture
def read_with_final(read, tmp_path):
    """Function that reads a space whose final split has shapes_val's annotations, changed."""

    def write_and_read(change, images=None):
        cfg = load_arm(read(SPACE).arms["focal"])
        check_config(cfg)
        folder = Path(DatasetCatalog.get("shapes_val")[0]["file_name"]).parent
        content = json.loads((folder.parent / "annotations" / "val.json").read_text())
        change(content)
        (tmp_path / "final.json").write_text(json.dumps(content))
        if images == "linked":
            (tmp_path / "images").symlink_to(folder)
        else:
            shutil.copytree(folder, tmp_path / "images")
        entry = {"NAME": "own", "JSON": str(tmp_path / "final.json"), "IMAGES": "images"}
        text = SPACE.replace("shapes_test", "own") + f"  DATASETS.COCO: [{json.dumps(entry)}]\n"
        return read(text)

    return write_and_read


def exchange_classes(content):
    first, second, *_ = content["categories"]
    first["name"], second["name"] = second["name"], first["name"]


def remove_objects(content):
    content["annotations"] = []


BAD_FINAL = {
    "classes in another order": (exchange_classes, "own", "class 0 is 'circle' in 'shapes_train'"),
    "no objects": (remove_objects, "own", "'own', the data set of the final comparison, has no"),
    "the same images elsewhere": (lambda content: None, "linked", "share 6 images"),
}


@pytest.mark.parametrize(("change", "images", "message"), BAD_FINAL.values(), ids=BAD_FINAL.keys())
def test_a_final_split_that_would_fail_at_the_end_is_refused(
    change, images, message, read_with_final, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        check_arms(read_with_final(change, images))
    assert message in str(caught.value)
