"""``imbdet predict``."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import imbdet
from imbdet.cli import main
from imbdet.config import load_config
from imbdet.evaluation.detection_pictures import save_picture
from imbdet.modeling import build_model
from imbdet.prediction.thresholds import choose_thresholds
from tests.messages import assert_says

pytestmark = pytest.mark.usefixtures("restored_loggers")

CONFIG = str(Path(imbdet.__file__).parents[1] / "configs" / "quick_start" / "retinanet.yaml")
KEYS = ["DATALOADER.NUM_WORKERS", "0", "TEST.PICTURE_SCORE_THRESH", "0.0"]
KEYS += ["MODEL.RETINANET.SCORE_THRESH_TEST", "0.0"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    model = build_model(load_config(CONFIG, opts=["MODEL.DEVICE", "cpu"]))
    torch.save({"model": model.state_dict()}, path)
    return str(path)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    for name in ("b.png", "a.jpg", "more/a.PNG"):
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def predict(weights, tmp_path, *images, keys=KEYS):
    args = ["predict", "--config-file", CONFIG, "--weights", weights]
    args += [word for place in images for word in ("--images", str(place))]
    return main([*args, "--output", str(tmp_path / "out"), *keys])


def test_detects_on_a_folder_of_images(weights, images, tmp_path):
    assert predict(weights, tmp_path, images) == 0
    (start,) = json.loads((tmp_path / "out" / "run.json").read_text())
    assert start["task"] == "prediction"
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    names = [str(images / name) for name in ("a.jpg", "b.png", "more/a.PNG")]
    assert content["images"] == [
        {"id": i, "file_name": name, "width": 80, "height": 60} for i, name in enumerate(names, 1)
    ]
    assert content["categories"] == [
        {"id": 1, "name": "circle"},
        {"id": 2, "name": "square"},
        {"id": 3, "name": "triangle"},
    ]
    notes = content["annotations"]
    assert [note["id"] for note in notes] == list(range(1, len(notes) + 1))
    assert {note["image_id"] for note in notes} == {1, 2, 3}
    assert {note["category_id"] for note in notes} <= {1, 2, 3}
    for note in notes:
        assert note["bbox"][2] * note["bbox"][3] == pytest.approx(note["area"])
        assert 0 < note["score"] < 1
    pictures = {path.name for path in (tmp_path / "out" / "pictures").iterdir()}
    assert pictures == {"a_1.png", "b.png", "a_3.png"}


def test_a_second_call_leaves_nothing_of_the_first(weights, images, tmp_path):
    assert predict(weights, tmp_path, images) == 0
    own = tmp_path / "out" / "pictures" / "notes.txt"
    own.write_text("of the user")
    assert predict(weights, tmp_path, images / "b.png") == 0
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(content["images"]) == 1
    assert {path.name for path in own.parent.iterdir()} == {"b.png", "notes.txt"}


def test_a_call_after_a_stopped_one_leaves_nothing_of_it(weights, images, tmp_path, monkeypatch):
    def stop(picture, path):
        save_picture(picture, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("imbdet.prediction.results.save_picture", stop)
        assert predict(weights, tmp_path, images / "a.jpg") == 130
    assert predict(weights, tmp_path, images / "b.png") == 0
    assert [path.name for path in (tmp_path / "out" / "pictures").iterdir()] == ["b.png"]


def test_pictures_do_not_replace_images(weights, images, tmp_path, capsys):
    photos = tmp_path / "out" / "pictures"
    images.rename(photos.parent)
    (photos.parent / "more").rename(photos)
    before = (photos / "a.PNG").read_bytes()
    for _ in range(2):
        assert predict(weights, tmp_path, photos) == 2
        assert_says(capsys.readouterr().err, "would replace images that are to be read", "--output")
    assert (photos / "a.PNG").read_bytes() == before


def test_pictures_of_somebody_else_stay(weights, images, tmp_path):
    own = tmp_path / "out" / "pictures" / "own.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    assert predict(weights, tmp_path, images / "a.jpg") == 0
    assert own.exists()


def test_one_image_is_no_images(weights, images, tmp_path, capsys):
    assert predict(weights, tmp_path, images / "more" / "a.PNG") == 0
    assert_says(capsys.readouterr().out, " on 1 image; pictures in")


@pytest.mark.parametrize(
    ("evaluation", "explicit", "words"),
    [
        (None, (), ["with a score of 0.3 or more, 0: no evaluation beside the weights"]),
        ("{", (), ["cannot tell from which score on", "with a score of 0.3 or more"]),
        (0.001, (), ["on (circle 0.00), ", "the best ones, by optimal LRP, of '"]),
        (0.001, ("TEST.PICTURE_SCORE_THRESH", "0.9"), ["0.9 or more, 0: as TEST.PICTURE"]),
    ],
)
def test_shows_what_the_evaluation_beside_the_weights_found_best(
    weights, images, tmp_path, capsys, evaluation, explicit, words
):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.pth").symlink_to(weights)
    if evaluation is not None:
        lrp = dict.fromkeys(("olrp", "localisation", "fp", "fn", "threshold"), evaluation)
        content = evaluation if evaluation == "{" else json.dumps({"optimal_lrp": {"circle": lrp}})
        # This evaluation is of a data set that the config does not name.
        (run / "inference" / "mine").mkdir(parents=True)
        (run / "inference" / "mine" / "metrics.json").write_text(content)
    keys = [*KEYS[:2], *KEYS[4:], *explicit]
    assert predict(str(run / "model.pth"), tmp_path, images / "b.png", keys=keys) == 0
    assert_says(capsys.readouterr().out, *words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model_final", "on (circle 0.10), "),
        ("model_final_ema", "on (circle 0.20), "),
        ("model_best", "on (circle 0.10), "),
    ],
)
def test_averaged_weights_have_thresholds_of_their_own(name, words, tmp_path):
    for folder, threshold in (("inference", 0.1), ("inference_EMA", 0.2)):
        lrp = dict.fromkeys(("olrp", "localisation", "fp", "fn", "threshold"), threshold)
        (tmp_path / folder / "mine").mkdir(parents=True)
        content = json.dumps({"optimal_lrp": {"circle": lrp}})
        (tmp_path / folder / "mine" / "metrics.json").write_text(content)
    cfg = load_config(opts=["MODEL.WEIGHTS", str(tmp_path / f"{name}.pth")])
    thresholds, origin = choose_thresholds(cfg)
    assert words in thresholds.describe() + ", "
    assert ("the last weights" in origin) == (name == "model_best")


def test_an_evaluation_that_found_nothing_worth_showing_is_said(weights, images, tmp_path, capsys):
    (tmp_path / "model.pth").symlink_to(weights)
    lrp = {"olrp": 1.0, "localisation": None, "fp": None, "fn": 1.0, "threshold": None}
    file = tmp_path / "inference" / "mine" / "metrics.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"optimal_lrp": {"circle": lrp}}))
    keys = [*KEYS[:2], *KEYS[4:]]
    assert predict(str(tmp_path / "model.pth"), tmp_path, images / "b.png", keys=keys) == 0
    words = "which found no detection worth showing; TEST.PICTURE_SCORE_THRESH shows those above"
    assert_says(capsys.readouterr().out, words)


@pytest.mark.parametrize(
    ("break_image", "problem"),
    [
        (lambda path: path.write_bytes(b"broken"), "is not an image"),
        (
            lambda path: Image.new("RGB", (1, 4000)).save(path),
            "has 1 x 4000 pixels: no pixel of its short side is left when it is resized",
        ),
    ],
)
def test_goes_on_after_an_image_that_is_broken(
    weights, images, tmp_path, break_image, problem, capsys
):
    break_image(images / "b.png")
    assert predict(weights, tmp_path, images) == 2
    out, error = capsys.readouterr()
    assert_says(out, f"'{images}/b.png' {problem}", ". It is left out.")
    assert_says(error, "error: 1 of 3 images could not be used (above); the others are done.")
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 3]


def test_earlier_results_stay_where_no_image_can_be_used(weights, images, tmp_path, capsys):
    assert predict(weights, tmp_path, images / "a.jpg") == 0
    (images / "b.png").write_bytes(b"broken")
    assert predict(weights, tmp_path, images / "b.png") == 2
    error = capsys.readouterr().err
    assert_says(error, "error: None of the images could be used (above): nothing is written.")
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [Path(image["file_name"]).name for image in content["images"]] == ["a.jpg"]
    assert (tmp_path / "out" / "pictures" / "a.png").exists()


def test_classes_are_numbered_where_their_names_are_not_known(weights, images, tmp_path, capsys):
    entry = "[{'NAME': 'mine', 'JSON': 'nowhere.json', 'IMAGES': '.'}]"
    keys = [*KEYS, "DATASETS.COCO", entry, "DATASETS.TEST", "('mine',)", "DATASETS.TRAIN", "()"]
    assert predict(weights, tmp_path, images / "b.png", keys=keys) == 0
    assert "they get numbers" in capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert content["categories"] == [{"id": i, "name": str(i)} for i in (1, 2, 3)]


def test_bad_input_is_one_clear_error(weights, images, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for places, words in (
        ([images, images / "c.png"], "c.png' does not exist"),
        ([tmp_path / "empty"], "empty' has no image in it"),
    ):
        assert predict(weights, tmp_path, *places) == 2
        assert words in capsys.readouterr().err
    assert predict("", tmp_path, images) == 2
    assert "by --weights" in capsys.readouterr().err
    assert not (tmp_path / "out" / "detections.json").exists()
