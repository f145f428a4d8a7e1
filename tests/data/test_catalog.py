from imbdet.data.catalog import replace_dataset

from detectron2.data import DatasetCatalog, MetadataCatalog  # isort: skip  (after imbdet)


def test_a_data_set_takes_the_place_of_an_earlier_one():
    replace_dataset("one_name", lambda: [{}], thing_classes=["a"], json_file="a.json")
    replace_dataset("one_name", lambda: [{}, {}], thing_classes=["b"])
    assert len(DatasetCatalog.get("one_name")) == 2
    assert MetadataCatalog.get("one_name").thing_classes == ["b"]
    assert MetadataCatalog.get("one_name").get("json_file") is None
    DatasetCatalog.pop("one_name")
    MetadataCatalog.pop("one_name")
