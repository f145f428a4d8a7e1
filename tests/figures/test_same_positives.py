"""Positives that two analyses have in common, against sets."""

import numpy as np
import pytest

from imbdet.figures.candidate_columns import candidate_schema
from imbdet.figures.columns import BOX, object_by
from imbdet.figures.part_files import PartReader, PartWriter
from imbdet.figures.same_positives import same_positives
from imbdet.figures.study import NothingToShow

NAMES = ["atss", "paa"]


def write(folder, objects, shift=0.0, rows_per_part=7):
    """Write candidates of two images, ten each, with their objects by assigner."""
    schema = candidate_schema([], [], list(objects))
    with PartWriter(folder, schema, rows_per_part) as writer:
        for image in range(2):
            rows = slice(10 * image, 10 * image + 10)
            columns = {name: np.zeros(10) for name in schema.names}
            columns |= {name: np.arange(10.0) + shift for name in BOX}
            columns |= {object_by(name): values[rows] for name, values in objects.items()}
            columns |= {"image_id": [str(image)] * 10, "is_gt": np.zeros(10, dtype=bool)}
            kinds = {field.name: field.type.to_pandas_dtype() for field in schema}
            writer.add(
                {
                    name: values if name == "image_id" else np.asarray(values, kinds[name])
                    for name, values in columns.items()
                }
            )
    return PartReader(folder)


def random_objects(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(-1, 2, 20) for name in NAMES}


def test_shares_are_those_of_sets(tmp_path):
    objects = {run: random_objects(seed) for seed, run in enumerate(["base", "later", "last"])}
    runs = {run: write(tmp_path / run, of_run) for run, of_run in objects.items()}
    found = same_positives(runs)
    assert (found.baseline, found.assigners) == ("base", NAMES)
    for run in ("later", "last"):
        for name, value in zip(NAMES, found.jaccard[run], strict=True):
            one, two = (
                {(row, gt) for row, gt in enumerate(objects[x][name]) if gt >= 0}
                for x in ("base", run)
            )
            assert value == pytest.approx(len(one & two) / len(one | two))


def test_the_least_stable_is_named(tmp_path):
    stable, moved = np.repeat([0, -1], 10), np.repeat([-1, 0], 10)
    runs = {
        "base": write(tmp_path / "base", {"atss": stable, "paa": stable}),
        "later": write(tmp_path / "later", {"atss": stable, "paa": moved}),
    }
    assert same_positives(runs).sentence() == (
        "With base later shares 0% of the positives of paa, the least, and 50% on average over "
        "the assigners."
    )


@pytest.mark.parametrize(
    ("objects", "shift", "reason"),
    [
        ({}, 0.0, "dense detectors"),
        (random_objects(1), 1.0, "later has other candidates than the baseline"),
        ({name: np.full(20, -1) for name in NAMES}, 0.0, "no positives"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, objects, shift, reason):
    none = {name: np.full(20, -1) for name in NAMES}
    base = write(tmp_path / "base", none)
    with pytest.raises(NothingToShow, match=reason):
        same_positives({"base": base, "later": write(tmp_path / "later", objects, shift)})


def test_parts_of_other_lengths_are_other_candidates(tmp_path):
    base = write(tmp_path / "base", random_objects(0))
    other = write(tmp_path / "other", random_objects(0), rows_per_part=100)
    with pytest.raises(NothingToShow, match="other candidates"):
        same_positives({"base": base, "other": other})
