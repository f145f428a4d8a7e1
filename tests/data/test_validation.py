"""The images of a test set on which a training computes its losses."""

import json

import pytest

from imbdet.data import build_train_loader
from imbdet.data.validation import build_validation_loader


@pytest.fixture
def other_classes(toy):
    """Makes a config of the toy data with a test set of the same images and other classes."""

    def config(names, *overrides):
        categories = [{"id": i, "name": name} for i, name in enumerate(names)]
        notes = [
            toy.annotation(id=i, image_id=10 * i + 10, category_id=i) for i in range(len(names))
        ]
        content = {**toy.content, "categories": categories, "annotations": notes}
        (toy.folder / "other.json").write_text(json.dumps(content))
        entry = {**toy.entry("other"), "JSON": str(toy.folder / "other.json")}
        return toy.config(
            *("DATASETS.COCO", [toy.entry(), entry], "DATASETS.TEST", "('other',)"),
            *("MODEL.ROI_HEADS.NUM_CLASSES", 3, *overrides),
        )

    return config


@pytest.mark.parametrize("names", [["cat"], ["cat", "dog"], ["cat", "dog", "cow"]])
@pytest.mark.parametrize(
    ("written", "expected"),
    [(["inverse"], [2.0, 2 / 3, 1.0]), ([{"dog": 2.0}], [1.0, 2.0, 1.0])],
    ids=["rule", "names"],
)
def test_classes_weigh_what_they_weigh_in_training(other_classes, names, written, expected):
    """Also where the test set has fewer or more classes than the training data."""
    cfg = other_classes(names, "MODEL.CLASS_WEIGHTS", written)
    weights = build_train_loader(cfg).class_weights
    assert weights == pytest.approx(expected)
    loader = build_validation_loader(cfg, "other", weights)
    objects = [image["instances"] for batch in loader for image in batch]
    assert [own.gt_classes.item() for own in objects] == list(range(len(names)))
    found = [own.gt_weights.item() if own.has("gt_weights") else 1.0 for own in objects]
    assert found == pytest.approx(expected[: len(names)])
