import json
import logging
import math

import pytest
import torch
from PIL import Image

from imbdet.config import add_imbdet_config
from imbdet.errors import UserError
from imbdet.evaluation import COCOEvaluator, build_coco_evaluator
from imbdet.evaluation.marked_images import draw_panel
from tests.coco_metrics import compute_coco_metrics
from tests.evaluation.conftest import SAMPLE_FILE, imperfect_detections
from tests.messages import assert_says, error_of

# isort: split
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.evaluation import print_csv_format, verify_results
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm

TOY = {
    "images": [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in (5, 6)],
    "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 8, "name": "ox"}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 3, "bbox": [4, 4, 20, 20]},
        {"id": 2, "image_id": 6, "category_id": 7, "bbox": [8, 8, 30, 30]},
    ],
}


@pytest.fixture
def register(tmp_path):
    """Registers a COCO-format annotation file, or its content, as the data set "ours"."""

    def register_file(content):
        MetadataCatalog.pop("ours", None)
        path = content
        if isinstance(content, dict):
            path = tmp_path / "ours.json"
            path.write_text(json.dumps(content))
        MetadataCatalog.get("ours").set(json_file=str(path), image_root=str(tmp_path))
        load_coco_json(str(path), str(tmp_path), "ours")

    yield register_file
    MetadataCatalog.pop("ours", None)


def instances(*found):
    """Output of a detector for one image, from (contiguous class, box XYWH, score)."""
    boxes = torch.tensor([box for _, box, _ in found]).reshape(-1, 4).float()
    return {
        "instances": Instances(
            (48, 64),
            pred_boxes=Boxes(BoxMode.convert(boxes, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)),
            pred_classes=torch.tensor([index for index, _, _ in found], dtype=torch.int64),
            scores=torch.tensor([score for *_, score in found], dtype=torch.float32),
        )
    }


# The mask of an annotation.
SQUARE = {"segmentation": [[4, 4, 24, 4, 24, 24, 4, 24]]}
CAT, DOG = (0, [4, 4, 20, 20], 0.9), (1, [8, 8, 30, 30], 0.8)


def evaluate(output_dir, outputs, **kwargs):
    """Results, and metrics.json as read back, of outputs by image id."""
    evaluator = COCOEvaluator("ours", output_dir, **kwargs)
    for image_id, output in outputs.items():
        evaluator.process([{"image_id": image_id}], [output])
    return evaluator.evaluate(), read(output_dir, "metrics.json")


def read(output_dir, name):
    """The content of a file of the evaluation, if it exists; NaN in it is an error."""
    path = output_dir / "ours" / name
    return json.loads(path.read_text(), parse_constant=pytest.fail) if path.exists() else None


@pytest.mark.parametrize("name", ["/photos", "../photos", "birds/val", "..", ""])
def test_no_folder_but_one_of_its_own_is_written_to(tmp_path, name):
    """In another one the pictures of an earlier evaluation, which are removed, may be anybody's."""
    assert_says(error_of(COCOEvaluator, name, tmp_path), repr(name), "folders")


def test_results_and_files(register, tmp_path, caplog):
    register(TOY)
    caplog.set_level(logging.INFO, logger="imbdet")
    results, summary = evaluate(tmp_path, {5: instances(CAT), 6: instances()})

    bbox = results["bbox"]
    assert [bbox[key] for key in ("AP-cat", "AP-dog", "AP")] == pytest.approx([100, 0, 50])
    assert math.isnan(bbox["AP-ox"])
    assert read(tmp_path, "coco_instances_results.json") == [
        {"image_id": 5, "category_id": 3, "bbox": [4, 4, 20, 20], "score": pytest.approx(0.9)}
    ]
    metrics, best = summary.pop("metrics")["bbox"], summary.pop("optimal_lrp")
    assert summary.pop("annotations").keys() == {"images", "boxes", "fingerprint"}
    assert summary == {
        "dataset": "ours",
        "categories": [[3, "cat"], [7, "dog"], [8, "ox"]],
        "num_images": 2,
        "num_detections": 1,
        "library": "faster-coco-eval",
        "evaluator_type": "coco",
        "max_detections": 100,
        "frequency_bounds": [10, 100],
        "frequencies": {},
    }
    assert metrics["overall"]["APl"] is None
    assert metrics["overall"]["AP"] == pytest.approx(50)
    assert metrics["per_class"]["dog"] == {"objects": 1, "AP": 0, "AP50": 0}
    assert metrics["per_class"]["ox"] == {"objects": 0, "AP": None, "AP50": None}
    overall, per_class = (
        message for message in caplog.messages if message.startswith("Results on 'ours'")
    )
    assert "AR@100 |" in overall
    assert "| cat" in per_class
    assert {path.name for path in (tmp_path / "ours").iterdir()} == {
        "coco_instances_results.json",
        "curves.json",
        "metrics.json",
    }
    assert best["cat"]["threshold"] == pytest.approx(0.9)
    assert best["dog"] == dict.fromkeys(best["dog"], None) | {"olrp": 100, "fn": 100}
    assert set(best["ox"].values()) == {None}
    curves = read(tmp_path, "curves.json")
    assert curves["precisions"]["bbox"]["cat"]["0.75"] == [1.0] * 101
    assert len(curves["recalls"]) == 101
    assert "ox" not in curves["precisions"]["bbox"]
    assert curves["confusion"] == [
        {"object": "cat", "detection": "cat", "count": 1},
        {"object": "dog", "detection": None, "count": 1},
    ]


def test_results_suit_detectron2(register, tmp_path):
    register(TOY)
    results, _ = evaluate(tmp_path, {5: instances(CAT), 6: instances(DOG)})
    print_csv_format(results)
    cfg = get_cfg()
    cfg.TEST.EXPECTED_RESULTS = [["bbox", "AP", 100.0, 0.01], ["bbox", "AR@1", 100.0, 0.01]]
    assert verify_results(cfg, results)


@pytest.mark.parametrize("library", ["faster-coco-eval", "pycocotools"])
def test_real_annotations(register, tmp_path, sample, library):
    register(SAMPLE_FILE)
    class_of = MetadataCatalog.get("ours").thing_dataset_id_to_contiguous_id
    outputs = {image["id"]: [] for image in sample["images"]}
    detections = imperfect_detections(sample, seed=3)
    for record in detections:
        category = class_of[record["category_id"]]
        outputs[record["image_id"]].append((category, record["bbox"], record["score"]))
    outputs = {image_id: instances(*found) for image_id, found in outputs.items()}
    results, summary = evaluate(tmp_path, outputs, library=library)
    assert summary["library"] == library
    assert summary["num_images"] == 19
    expected = compute_coco_metrics(sample, detections, iou_type="bbox", library="pycocotools")
    assert results["bbox"] == pytest.approx(expected.flatten(), abs=1e-3, nan_ok=True)


@pytest.mark.parametrize("outputs", [{}, {5: instances(), 6: instances()}])
def test_no_detections(register, tmp_path, outputs):
    register(TOY)
    results, summary = evaluate(tmp_path, outputs)
    assert results["bbox"]["AP"] == 0
    assert summary["num_detections"] == 0
    assert read(tmp_path, "coco_instances_results.json") == []


def test_images_that_were_not_processed_count(register, tmp_path):
    register(TOY)
    results, _ = evaluate(tmp_path, {6: instances(DOG)})
    assert (results["bbox"]["AP-cat"], results["bbox"]["AP-dog"]) == (0, pytest.approx(100))


@pytest.mark.parametrize("annotations", [{}, {"annotations": []}])
def test_without_annotations_only_detections_are_written(register, tmp_path, caplog, annotations):
    register({"images": TOY["images"], "categories": TOY["categories"], **annotations})
    caplog.set_level(logging.INFO, logger="imbdet")
    results, summary = evaluate(tmp_path, {5: instances(CAT)})
    assert (results, summary) == ({}, None)
    assert len(read(tmp_path, "coco_instances_results.json")) == 1
    assert "'ours' has no annotations to compare detections with" in caplog.text


def test_impossible_detections_are_dropped(register, tmp_path, caplog):
    register(TOY)
    bad = [(5, [0, 0, 9, 9], 0.9), (0, [math.nan, 0, 9, 9], 0.9), (0, [0, 0, 9, 9], math.nan)]
    results, summary = evaluate(tmp_path, {5: instances(CAT, *bad), 6: instances(DOG)})
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert summary["num_detections"] == 2
    assert "1 of 3 detections are dropped" in caplog.text


def test_reset_forgets(register, tmp_path):
    register(TOY)
    evaluator = COCOEvaluator("ours", tmp_path)
    evaluator.process([{"image_id": 5}], [instances(CAT)])
    evaluator.reset()
    assert evaluator.evaluate()["bbox"]["AP"] == 0


def test_joins_the_detections_of_all_processes(register, tmp_path, monkeypatch):
    register(TOY)
    other = COCOEvaluator("ours", tmp_path)
    # A sampler that gives every process as many images as the others repeats some.
    other.process([{"image_id": 5}, {"image_id": 6}], [instances(CAT), instances(DOG)])
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, other._detections])
    results, summary = evaluate(tmp_path, {5: instances(CAT)})
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert summary["num_detections"] == 2

    monkeypatch.setattr(comm, "gather", lambda data, dst: [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluate(tmp_path / "worker", {5: instances(CAT)}) == ({}, None)


def test_data_set_without_a_file(tmp_path):
    note = {"bbox": [4, 4, 24, 24], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    image = {"file_name": "5.jpg", "image_id": 5, "width": 64, "height": 48, "annotations": [note]}
    DatasetCatalog.register("ours", lambda: [image])
    MetadataCatalog.get("ours").thing_classes = ["cat", "dog"]
    try:
        results, _ = evaluate(tmp_path, {5: instances(CAT)})
    finally:
        DatasetCatalog.pop("ours")
        MetadataCatalog.pop("ours")
    assert results["bbox"]["AP-cat"] == pytest.approx(100)


@pytest.mark.parametrize("library", ["faster-coco-eval", "pycocotools"])
@pytest.mark.parametrize("area", [None, "400", float("nan"), 0, -1, True])
def test_an_area_that_cannot_be_is_that_of_the_box(register, tmp_path, caplog, area, library):
    register(TOY)
    expected, _ = evaluate(tmp_path, {5: instances(CAT)}, library=library)
    register({**TOY, "annotations": [{**note, "area": area} for note in TOY["annotations"]]})
    found, _ = evaluate(tmp_path, {5: instances(CAT)}, library=library)
    assert found["bbox"] == pytest.approx(expected["bbox"], nan_ok=True)
    assert "2 annotations of" in caplog.text
    assert "have an 'area' that cannot be (first:" in caplog.text


def test_masks_of_others_neither_hang_nor_matter(register, tmp_path):
    too_short = {"segmentation": {"size": [48, 64], "counts": [5]}}
    register({**TOY, "annotations": [{**note, **too_short} for note in TOY["annotations"]]})
    results, _ = evaluate(tmp_path, {5: instances(CAT)})
    assert results["bbox"]["AP-cat"] == pytest.approx(100)
    with pytest.raises(UserError, match="whose run lengths sum to 5, not to the 3072 pixels"):
        evaluate(tmp_path, {5: instances(CAT)}, iou_types=("bbox", "segm"))


@pytest.mark.parametrize("bbox", [[4, 4, 20], [4, 4, 20, None], [4, float("nan"), 20, 20]])
def test_refuses_boxes_that_nothing_can_be_compared_with(register, tmp_path, bbox):
    content = {**TOY, "annotations": [{**TOY["annotations"][0], "bbox": bbox}]}
    register(content)
    with pytest.raises(UserError, match=r"has a box .* of annotation 1\. Correct it or remove"):
        evaluate(tmp_path, {5: instances(CAT)})


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # from detectron2's mask encoding
def test_masks_are_compared_where_there_are_any(register, tmp_path, caplog):
    register({**TOY, "annotations": [{**TOY["annotations"][0], **SQUARE}]})
    output = instances(CAT)
    output["instances"].pred_masks = torch.zeros(1, 48, 64, dtype=torch.bool)
    output["instances"].pred_masks[:, 4:24, 4:24] = True
    results, summary = evaluate(tmp_path, {5: output}, iou_types=("bbox", "segm"))
    assert results["segm"]["AP-cat"] == pytest.approx(100)
    assert summary["metrics"].keys() == results.keys() == {"bbox", "segm"}
    assert "masks are not evaluated" not in caplog.text

    register(TOY)  # boxes only
    results, _ = evaluate(tmp_path, {5: output}, iou_types=("bbox", "segm"))
    assert results.keys() == {"bbox"}
    assert "'ours': masks are not evaluated" in caplog.text


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of detectron2's mask encoding
@pytest.mark.parametrize(
    "annotations",
    [
        [],
        TOY["annotations"],
        [{**TOY["annotations"][0], **SQUARE}],
        [{**TOY["annotations"][0], **SQUARE}, {**TOY["annotations"][1], "iscrowd": 1}],
    ],
    ids=["no objects", "boxes", "masks", "a crowd without a mask"],
)
@pytest.mark.parametrize("iou_types", [("bbox",), ("bbox", "segm")])
def test_foretells_which_metrics_there_will_be(register, tmp_path, annotations, iou_types):
    register({**TOY, "annotations": annotations})
    foretold = COCOEvaluator("ours", tmp_path, iou_types=iou_types).undefined()
    output = instances(CAT)
    output["instances"].pred_masks = torch.ones(1, 48, 64, dtype=torch.bool)
    results, _ = evaluate(tmp_path, {5: output}, iou_types=iou_types)
    assert {kind: list(values) for kind, values in foretold.items()} == {
        kind: list(values) for kind, values in results.items()
    }


def test_build_reads_the_config(register, tmp_path):
    cfg = get_cfg()
    add_imbdet_config(cfg)
    register(TOY)
    cfg.TEST.NUM_PICTURES = 0
    assert build_coco_evaluator(cfg, "ours", str(tmp_path)).evaluate().keys() == {"bbox"}

    cfg.TEST.COCO_LIBRARY = "cocoapi"
    with pytest.raises(UserError, match=r"TEST\.COCO_LIBRARY is 'cocoapi'"):
        build_coco_evaluator(cfg, "ours", str(tmp_path))


def test_pictures_follow_the_metrics(register, tmp_path):
    register(TOY)
    for image in TOY["images"]:
        Image.new("RGB", (image["width"], image["height"])).save(tmp_path / image["file_name"])
    evaluate(tmp_path, {5: instances(CAT)}, num_pictures=2)
    pictures = sorted(path.name for path in (tmp_path / "ours" / "pictures").iterdir())
    assert pictures == ["5.png", "6.png"]
    evaluate(tmp_path, {5: instances(CAT)}, num_pictures=1)  # none of the other weights is left
    assert len(list((tmp_path / "ours" / "pictures").iterdir())) == 1


@pytest.mark.parametrize(
    ("score_thresh", "drawn"), [(-1, {5: 1, 6: 0}), (0.3, {5: 2, 6: 1}), (0.95, {5: 0, 6: 0})]
)
def test_pictures_show_what_the_scores_are_good_for(
    register, tmp_path, monkeypatch, score_thresh, drawn
):
    register(TOY)
    for image in TOY["images"]:
        Image.new("RGB", (image["width"], image["height"])).save(tmp_path / image["file_name"])
    # The second cat is right nowhere, and a dog is never right: 0.9 is best, and no dog at all.
    worse, wrong = (0, [40, 20, 9, 9], 0.8), (1, [40, 20, 9, 9], 0.9)
    titles = []
    monkeypatch.setattr(
        "imbdet.evaluation.detection_pictures.draw_panel",
        lambda pixels, marks, title: titles.append(title) or draw_panel(pixels, marks, title),
    )
    outputs = {5: instances(CAT, worse), 6: instances(wrong)}
    evaluate(tmp_path, outputs, num_pictures=2, picture_score_thresh=score_thresh)
    numbers = [int(title.split("(")[-1].rstrip(")")) for title in titles[1::2]]
    assert dict(zip((5, 6), numbers, strict=True)) == drawn


def test_a_folder_that_cannot_be_made_is_named(register, tmp_path):
    register(TOY)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/ours/coco_instances_results\.json' cannot be"):
        evaluate(tmp_path / "file", {})
