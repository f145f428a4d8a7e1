from pathlib import Path

import pytest

from imbdet.data.catalog import datasets_root, replace_dataset

from detectron2.data import DatasetCatalog, MetadataCatalog  # isort: skip  (after imbdet)


@pytest.mark.parametrize(
    ("value", "root"), [(None, "datasets"), ("", "."), ("~/x", "/home/x"), ("x", "x")]
)
def test_the_folder_of_data_sets_is_detectron2s(value, root, monkeypatch):
    monkeypatch.setenv("HOME", "/home")
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    if value is not None:
        monkeypatch.setenv("DETECTRON2_DATASETS", value)
    assert datasets_root() == Path(root)


def test_a_data_set_takes_the_place_of_an_earlier_one():
    replace_dataset("one_name", lambda: [{}], thing_classes=["a"], json_file="a.json")
    replace_dataset("one_name", lambda: [{}, {}], thing_classes=["b"])
    assert len(DatasetCatalog.get("one_name")) == 2
    assert MetadataCatalog.get("one_name").thing_classes == ["b"]
    assert MetadataCatalog.get("one_name").get("json_file") is None
    DatasetCatalog.pop("one_name")
    MetadataCatalog.pop("one_name")
