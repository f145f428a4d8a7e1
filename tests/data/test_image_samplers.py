"""How often images are shown: by their classes, objects, data sets and losses."""

import math
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbdet.data import build_train_loader
from imbdet.data.image_samplers import BY_LEDGER, SAMPLERS, check_sampler, read_sampler
from imbdet.data.repeat_factors import by_class, by_instances, by_loss
from imbdet.errors import UserError
from imbdet.records.record_columns import SCHEMA

from detectron2.data.samplers import RepeatFactorTrainingSampler  # isort: skip  (after imbdet)

CLASSES = st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=8)


def records_of(classes_of_images, name="toy"):
    return [
        {
            "image_id": index,
            "dataset_name": name,
            "annotations": [{"category_id": number} for number in classes],
        }
        for index, classes in enumerate(classes_of_images)
    ]


@given(classes=CLASSES, threshold=st.sampled_from([0.0, 0.3, 1.0, 5.0]))
def test_repeat_factors_of_classes_are_detectron2s(classes, threshold):
    records = records_of(classes)
    expected = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
        records, threshold
    )
    np.testing.assert_array_equal(by_class(records, threshold), expected.numpy())


@given(classes=CLASSES, threshold=st.sampled_from([0.1, 0.5, 2.0]))
def test_factors_by_instances_are_those_of_the_definition(classes, threshold):
    num_objects = sum(map(len, classes))
    expected = []
    for own in classes:
        factors = [1.0]
        for number in own:
            images = sum(number in other for other in classes) / len(classes)
            objects = sum(other.count(number) for other in classes) / num_objects
            factors.append(math.sqrt(threshold / math.sqrt(images * objects)))
        expected.append(max(factors))
    np.testing.assert_allclose(by_instances(records_of(classes), threshold), expected, rtol=1e-6)


def test_without_the_square_root_factors_are_its_squares():
    records = records_of([[0], [0, 1], [0], [0]])
    np.testing.assert_allclose(by_class(records, 1.0, sqrt=False), [1, 4, 1, 1])
    np.testing.assert_allclose(by_class(records, 1.0), [1, 2, 1, 1])


def run_with_losses(folder, rows):
    """The folder of a run with records of (site, image id, is positive, loss)."""
    names = ("site", "image_id", "is_positive", "cls_loss")
    samples = folder / "run" / "records" / "samples"
    samples.mkdir(parents=True)
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], SCHEMA)
    pq.write_table(table, samples / "part-0000009-rank0.parquet")
    return str(folder / "run")


def test_images_come_as_often_as_their_objects_cost_more_than_the_mean(tmp_path):
    run = run_with_losses(
        tmp_path,
        [
            ("retinanet", "0", True, 1.0),
            ("retinanet", "0", True, 3.0),
            ("retinanet", "1", True, 0.5),
            ("retinanet", "2", True, 9.5),
            ("retinanet", "1", False, 100.0),
            ("rpn", "1", True, 100.0),
            ("retinanet", "1", True, None),
            ("retinanet", "elsewhere", True, 50.0),
        ],
    )
    # Means are 2, 0.5 and 9.5, and 4 over all; nothing is known of image 3.
    assert by_loss(records_of([[0]] * 4), run, max_repeats=4.0).tolist() == [1, 1, 2.375, 1]
    assert by_loss(records_of([[0]] * 4), run, max_repeats=2.0).tolist() == [1, 1, 2, 1]


def test_images_of_two_data_sets_with_the_same_id_are_not_taken_for_each_other(tmp_path):
    run = run_with_losses(tmp_path, [("retinanet", "0", True, 1.0)])
    twice = records_of([[0]]) * 2  # a data set that is named twice
    assert by_loss(twice, run, 4.0).tolist() == [1, 1]
    with pytest.raises(UserError, match="an image of 'toy' and one of 'other' have the id 0"):
        by_loss([*records_of([[0]]), *records_of([[0]], "other")], run, 4.0)


def test_records_without_losses_of_these_images_are_refused(tmp_path):
    run = run_with_losses(tmp_path, [("rpn", "0", True, 1.0), ("retinanet", "0", True, None)])
    with pytest.raises(UserError, match="have no classification losses of images of this training"):
        by_loss(records_of([[0]]), run, 4.0)
    (part,) = (tmp_path / "run" / "records" / "samples").iterdir()
    part.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"Records '.*' cannot be read: it is damaged"):
        by_loss(records_of([[0]]), run, 4.0)
    with pytest.raises(UserError, match=r"There are no records in .*RECORD.PERIOD above 0"):
        by_loss(records_of([[0]]), str(tmp_path / "none"), 4.0)


def sampled(toy, name, *overrides, epochs=40):
    """How often each of the three images is shown in an epoch."""
    cfg = toy.config("DATALOADER.SAMPLER_TRAIN", name, *overrides)
    check_sampler(cfg)
    classes = [[1, 0], [1], [1]]
    sampler = read_sampler(cfg, records_of(classes))
    images = np.concatenate([sampler(0, number) for number in range(epochs)])
    return np.bincount(images, minlength=3) / epochs


def test_class_aware_sampling_shows_classes_equally_often(toy):
    # Half of the draws are for the class of image 0 alone, half for that of all three.
    assert sampled(toy, "ClassAwareTrainingSampler") == pytest.approx([2, 0.5, 0.5], abs=0.2)


def test_data_sets_have_factors(toy):
    one = ["DATASETS.TRAIN_REPEAT_FACTOR", [("toy", 2.5)]]
    assert sampled(toy, "WeightedTrainingSampler", *one) == pytest.approx([2.5] * 3, abs=0.3)
    both = [*one, "DATALOADER.REPEAT_THRESHOLD", 4 / 3]
    found = sampled(toy, "WeightedCategoryTrainingSampler", *both)
    # Relative to the images that are repeated least, by which detectron2 divides.
    class_factors = by_class(records_of([[1, 0], [1], [1]]), 4 / 3)
    assert found == pytest.approx(class_factors / class_factors.min(), abs=0.25)


def test_factors_of_two_data_sets(toy):
    entries = [toy.entry("toy"), toy.entry("toy_again")]
    cfg = toy.config(
        *("DATASETS.COCO", entries, "DATASETS.TRAIN", "('toy', 'toy_again')"),
        *("DATALOADER.SAMPLER_TRAIN", "WeightedTrainingSampler"),
        *("DATASETS.TRAIN_REPEAT_FACTOR", [("toy_again", 3.0)]),
    )
    batches = islice(iter(build_train_loader(cfg)), 24)
    names = [image["dataset_name"] for batch in batches for image in batch]
    assert names.count("toy_again") == 3 * names.count("toy") == 36


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"LossTrainingSampler", BY_LEDGER}))
def test_batches_of_every_sampler_are_a_function_of_the_iteration(toy, name):
    cfg = toy.config(
        "DATALOADER.SAMPLER_TRAIN", name, "DATALOADER.REPEAT_THRESHOLD", 2.0, "SEED", 1
    )

    def ids(start):
        loader = build_train_loader(cfg)
        loader.start = start
        return [[image["image_id"] for image in batch] for batch in islice(iter(loader), 6)]

    assert ids(0)[4:] == ids(4)[:2]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["TRAIN_REPEAT_FACTOR", [("tyo", 2.0)]],
            "names 'tyo', which DATASETS.TRAIN does",
        ),
        (["TRAIN_REPEAT_FACTOR", [("toy",)]], "write pairs of a data set and a number"),
        (["TRAIN_REPEAT_FACTOR", [("toy", -1)]], "write pairs of a data set and a number"),
    ],
)
def test_factors_of_data_sets_that_make_no_sense_are_refused(toy, overrides, message):
    key, value = overrides
    with pytest.raises(UserError, match=message):
        sampled(toy, "WeightedTrainingSampler", f"DATASETS.{key}", value)


def test_factors_that_show_nothing_are_refused(toy):
    none = ["DATASETS.TRAIN_REPEAT_FACTOR", [("toy", 0)]]
    with pytest.raises(UserError, match="TRAIN_REPEAT_FACTOR shows no image"):
        sampled(toy, "WeightedTrainingSampler", *none)
    with pytest.raises(UserError, match="has a factor of 0"):
        sampled(toy, "WeightedCategoryTrainingSampler", *none)


def test_losses_of_the_same_training_are_refused(toy, tmp_path):
    with pytest.raises(UserError, match=r"set DATALOADER.LOSS_RECORDS to its OUTPUT_DIR"):
        sampled(toy, "LossTrainingSampler")
    own = ["OUTPUT_DIR", str(tmp_path), "DATALOADER.LOSS_RECORDS", f"{tmp_path}/."]
    with pytest.raises(UserError, match="the OUTPUT_DIR of this training, whose records change"):
        sampled(toy, "LossTrainingSampler", *own)


def test_losses_of_a_run_are_read(toy, tmp_path):
    run = run_with_losses(tmp_path, [("dense", "0", True, 3.0), ("dense", "1", True, 1.0)])
    found = sampled(toy, "LossTrainingSampler", "DATALOADER.LOSS_RECORDS", run)
    assert found == pytest.approx([1.5, 1, 1], abs=0.3)
