"""What is ignored is no object, also where another program does not call it a crowd."""

import copy
from itertools import islice

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from imbdet.data import build_train_loader, load_dataset
from imbdet.data.image_samplers import read_sampler
from imbdet.data.repeat_factors import by_class, by_instances
from imbdet.data.weights import weigh_records

# Of an annotation that is ignored, as annotation files are read, and as other programs may write.
IGNORED = pytest.mark.parametrize(
    "fields",
    [{"ignore": 1, "iscrowd": 1}, {"ignore": 1, "iscrowd": 0}, {"ignore": True}],
    ids=["a crowd", "no crowd", "a flag alone"],
)


@pytest.fixture
def python_set(toy):
    """Registers the toy data as another program does, in which the one cat has some fields."""
    records = load_dataset(toy.config(), "toy")
    classes = MetadataCatalog.get("toy").thing_classes

    def register(fields, *overrides):
        own = copy.deepcopy(records)
        (cat,) = (note for note in own[0]["annotations"] if note["category_id"] == 0)
        del cat["iscrowd"]
        cat.update(fields)
        own[0]["annotations"].reverse()
        own[1]["annotations"] = [cat]
        DatasetCatalog.register("python_set", lambda: own)
        MetadataCatalog.get("python_set").set(thing_classes=classes)
        return own, toy.config("DATASETS.TRAIN", "('python_set',)", *overrides)

    yield register
    DatasetCatalog.pop("python_set", None)
    MetadataCatalog.pop("python_set", None)


@IGNORED
@pytest.mark.parametrize("augmentation", ["", "ssd"])
def test_it_is_a_region_alone_to_a_detector(python_set, fields, augmentation):
    keys = ("INPUT.AUGMENTATION", augmentation, "SOLVER.IMS_PER_BATCH", 1)
    loader = build_train_loader(python_set(fields, *keys)[1])
    assert loader.class_frequencies.instances.tolist() == [0, 2]
    assert loader.class_frequencies.images.tolist() == [0, 2]
    assert len(loader.records) == 2  # without the image of the cat alone
    for (image,) in islice(loader, 8):
        assert image["instances"].gt_classes.tolist() == [1]
        num_regions = len(getattr(image["instances"], "regions", ()))
        assert num_regions == (image["image_id"] == 10) or (augmentation and num_regions == 0)


@IGNORED
def test_it_has_no_weight_and_repeats_no_image(python_set, fields):
    records, cfg = python_set(fields, "DATALOADER.SAMPLER_TRAIN", "ClassAwareTrainingSampler")
    cats = [note for record in records for note in record["annotations"] if "ignore" in note]
    weighted = weigh_records(records, [5.0, 2.0])
    notes = [note for record in weighted for note in record["annotations"]]
    assert [note["weight"] for note in notes if "weight" in note] == [2.0, 2.0]
    assert len(cats) == 2
    without = copy.deepcopy(records)
    for record in without:
        record["annotations"] = [note for note in record["annotations"] if "ignore" not in note]
    for factors in (by_class, by_instances):
        assert factors(records, 0.9).tolist() == factors(without, 0.9).tolist()
    first, second = (read_sampler(cfg, each)(seed=0, number=0) for each in (records, without))
    assert first.tolist() == second.tolist()
