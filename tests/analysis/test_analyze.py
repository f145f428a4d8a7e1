"""From a config to a folder of tables, figures and pictures."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

import imbdet.cli
from imbdet.analysis.analysis_writer import ResultWriter
from imbdet.analysis.collector import Collector
from imbdet.engine import Trainer
from imbdet.wording import percent
from tests.ink import is_cut_off
from tests.test_train_net import CONFIGS, TINY

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

FIGURES = {
    "boosting",
    "calibration",
    "class_scores",
    "distributions",
    "gradient_ratio",
    "gradients_box",
    "gradients_cls",
    "hardness",
    "imbalance",
    "assigners",
    "overlap",
    "ranks",
    "sampling_distribution",
    "score_shift",
}


def analyze(*args, **overrides):
    assert run(*args, **overrides) == 0


def run(output, name="faster_rcnn", *options, **overrides):
    keys = [str(x) for pair in {**TINY, "SEED": 3, **overrides}.items() for x in pair]
    config = str(CONFIGS / "quick_start" / f"{name}.yaml")
    args = ["analyze", "--config-file", config, "--output", str(output), *options, *keys]
    return imbdet.cli.main(args)


def stop(*args):
    raise KeyboardInterrupt


def read_summary(output):
    return (output / "summary.txt").read_text()


def files(folder: Path, ending):
    return {path.stem for path in folder.glob(f"*.{ending}")}


def test_everything_is_written_and_agrees(tmp_path, capsys):
    analyze(tmp_path, "faster_rcnn", "--picture", "000002")
    summary = read_summary(tmp_path)
    assert summary in capsys.readouterr().out
    for ending in ("png", "pdf"):
        assert files(tmp_path / "figures", ending) == FIGURES - {"assigners"}
        assert files(tmp_path / "pictures", ending) == {"000002"}
    assert files(tmp_path / "tables", "parquet") == FIGURES - {"assigners"}
    assert not any(map(is_cut_off, tmp_path.glob("*/*.png")))

    rows = pq.read_table(tmp_path / "tables" / "candidates").to_pydict()
    images = pq.read_table(tmp_path / "tables" / "images").to_pydict()
    assert len(rows["iou"]) == sum(images["num_candidates"])
    # The share that is printed is the one of the rows.
    hard = [
        iou
        for iou, label, is_hard in zip(
            rows["iou"], rows["label"], rows["chosen_by_ohem"], strict=True
        )
        if is_hard and label == 0
    ]
    share = sum(iou > 0.05 for iou in hard) / len(hard)
    assert f"{percent(share)} of the hard negatives" in summary
    # 64 samples of an image, of which at most 16 are positives, by every sampler with a quota.
    for first, second in (("random", "random"), ("ohem", "ohem"), ("iou_hlr", "score_hlr")):
        chosen = sum(rows[f"chosen_by_{first}"])
        if second != first:
            chosen += sum(rows[f"chosen_by_{second}"])
        assert chosen == 64 * len(images["image_id"])
    # The ground truth itself is neither a score to calibrate nor a positive to boost.
    own = Counter(
        (image_id, label, gt_class)
        for image_id, label, gt_class, is_gt in zip(
            rows["image_id"], rows["label"], rows["class"], rows["is_gt"], strict=True
        )
        if not is_gt
    )
    assert own.total() < len(rows["is_gt"])
    entries = pq.read_table(tmp_path / "tables" / "calibration.parquet")["entries"].to_pylist()
    assert sum(entries) == 3 * own.total()
    boosts = pq.read_table(tmp_path / "tables" / "boosts").to_pydict()
    falls = {5: [], 25: []}
    for image_id, top, num_boosted, fall in zip(*boosts.values(), strict=True):
        falls[top].append(fall)
        assert num_boosted == sum(min(own[image_id, 1, k], top) for k in range(3))
    assert falls[5] == pytest.approx(falls[25], abs=1e-6)


def test_the_same_seed_gives_the_same_tables(tmp_path, monkeypatch):
    for name in ("write_figures", "write_pictures"):
        monkeypatch.setattr(ResultWriter, name, lambda *args: None)
    for name in ("a", "b"):
        analyze(tmp_path / name, "faster_rcnn", "--num-images", "2")
    first, second = (pq.read_table(tmp_path / n / "tables" / "candidates") for n in ("a", "b"))
    assert first.equals(second)


def test_one_stage(tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(Collector, "collect", stop)
        assert run(tmp_path, "retinanet") == 130
    stale, own = tmp_path / "pictures" / "stale.png", tmp_path / "pictures" / "notes.txt"
    stale.parent.mkdir()
    stale.touch()
    own.touch()
    analyze(tmp_path, "retinanet", "--num-images", "1", **{"MODEL.CLS_LOSS.NAME": "ap"})
    log = (tmp_path / "log.txt").read_text()
    assert "INFO: RetinaNet has no prime negatives: score_hlr compares all pairs" in log
    assert [line for line in log.splitlines() if "left out" in line] == [
        line for line in log.splitlines() if "INFO: The assigner dynamic_iou is left out: " in line
    ]
    assert "The loss 'ap' is one of the whole ranking, not of each sample: where the" in log
    assert own.exists()
    assert not stale.exists()
    summary = read_summary(tmp_path)
    assert "boosting: no figure, boosting needs a two-stage detector." in summary
    assert files(tmp_path / "figures", "png") == FIGURES - {"boosting"}
    (name,) = (name for name in files(tmp_path / "pictures", "png") if name.isdigit())
    assert files(tmp_path / "pictures", "png") == {name, f"{name}_assigners"}
    assert not any(map(is_cut_off, (tmp_path / "figures").glob("*.png")))


@pytest.mark.parametrize(
    ("name", "own"), [("retinanet", "max_iou"), ("fcos", "fcos"), ("tood", "task_aligned")]
)
def test_the_detectors_own_assigner_is_among_all(tmp_path, monkeypatch, name, own):
    for method in ("write_figures", "write_pictures"):
        monkeypatch.setattr(ResultWriter, method, lambda *args: None)
    no_norm = {"MODEL.RETINANET.NORM": ""}  # a group of one value has none
    analyze(tmp_path, name, "--num-images", "2", **no_norm)
    rows = pq.read_table(tmp_path / "tables" / "candidates").to_pydict()
    assert 1 in rows["label"]
    for label, gt, by_own in zip(
        rows["label"], rows["gt_id"], rows[f"gt_id_by_{own}"], strict=True
    ):
        assert by_own == gt if label == 1 else by_own < 0
    assigned = pq.read_table(tmp_path / "tables" / "assigned").to_pydict()
    num_objects = pq.read_table(tmp_path / "tables" / "objects").num_rows
    assert Counter(assigned["assigner"]) == {
        assigner.removeprefix("gt_id_by_"): num_objects
        for assigner in rows
        if assigner.startswith("gt_id_by_")
    }


def test_weights_and_ignored_regions_of_the_data_reach_the_tables(tmp_path, toy, monkeypatch):
    # This test does not need its figures.
    monkeypatch.setattr(ResultWriter, "_studies", lambda writer: {})
    first, second, *_ = toy.content["annotations"]  # annotations of image 10
    first["weight"] = 3.0
    second.update(ignore=1, bbox=[0, 0, 40, 30])
    toy.content["images"][2]["weight"] = 0.5
    toy.save()
    keys = {"DATASETS.COCO": [toy.entry()], "DATASETS.TEST": ("toy",), "INPUT.MIN_SIZE_TEST": 60}
    analyze(tmp_path, "retinanet", "--picture", "1", **keys, **{"MODEL.RETINANET.NUM_CLASSES": 2})
    tables = tmp_path / "tables"
    rows = pq.read_table(tables / "candidates").to_pydict()
    weights = set(zip(*map(rows.get, ("image_id", "label", "weight")), strict=True))
    assert {row for row in weights if row[1] >= 0} == {
        *(("10", label, weight) for label, weight in ((0, 1.0), (1, 3.0))),
        *((image, label, 1.0) for image in ("20", "40") for label in (0, 1)[: 2 - (image == "40")]),
        *(("30", label, 0.5) for label in (0, 1)),
    }
    inside = set(zip(*map(rows.get, ("image_id", "label", "is_in_region")), strict=True))
    assert {row for row in inside if row[2]} == {("10", -1, True)}
    regions = pq.read_table(tables / "regions").to_pylist()
    assert regions == [{"image_id": "10", "x0": 0.0, "y0": 0.0, "x1": 40.0, "y1": 30.0}]
    assert pq.read_table(tables / "objects").num_rows == 3


def test_no_objects(tmp_path):
    analyze(tmp_path, "faster_rcnn", **{"DATASETS.SHAPES.EMPTY_FRACTION": 1.0})
    summary = read_summary(tmp_path)
    for name, sentence in {
        "gradients_box": "there are no positives, whose boxes would be regressed.",
        "ranks": "there are no positives to rank.",
        "distributions": "no image has both positives and negatives to rank.",
        "score_shift": "there are no positives to separate from negatives.",
        "imbalance": "there are no objects.",
        "gradient_ratio": "there are no positives.",
        "class_scores": "there are no positives with a score of the detector's own.",
        "boosting": "there are no positives whose scores could be raised.",
    }.items():
        assert f"{name}: no figure, {sentence}" in summary
        assert not (tmp_path / "figures" / f"{name}.png").exists()
    assert files(tmp_path / "figures", "png") >= {"hardness", "sampling_distribution", "overlap"}
    assert "nan" not in summary


def test_nothing_finite(tmp_path):
    from imbdet.config import load_config

    keys = [str(x) for pair in {**TINY, "MODEL.DEVICE": "cpu"}.items() for x in pair]
    model = Trainer.build_model(
        load_config(str(CONFIGS / "quick_start" / "faster_rcnn.yaml"), opts=keys)
    )
    torch.nn.init.constant_(model.roi_heads.box_predictor.cls_score.weight, 3e38)
    torch.save({"model": model.state_dict()}, tmp_path / "huge.pth")
    weights = ("--weights", str(tmp_path / "huge.pth"))
    analyze(tmp_path / "output", "faster_rcnn", *weights)
    summary = read_summary(tmp_path / "output")
    assert "had predictions that are not finite, and no place" in summary
    for name in FIGURES - {"imbalance"}:
        assert f"{name}: no figure, " in summary
    assert len(files(tmp_path / "output" / "pictures", "png")) == 4
