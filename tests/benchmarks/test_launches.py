"""benchmarks/launches.py: the operations of an iteration do not grow with the images."""

import ast
import importlib
import inspect

import pytest

from tests.test_configs import CONFIGS

# Most waits for the device, without those of detectron2's search for proposals: for the numbers of
# positives and negatives, for a check of labels and of losses in each place, and for what is
# logged.
MOST_WAITS = {"Faster R-CNN": 15, "Faster R-CNN, PISA": 19, "RetinaNet": 6}
# Operations in sampling that each further image asks for: random numbers are drawn image by image,
# as detectron2 draws them, for positives and for negatives in two places of a two-stage detector,
# each with a look-up; and those that PISA draws fill up what it ranks.
MOST_PER_IMAGE = {"Faster R-CNN": 14, "Faster R-CNN, PISA": 19, "RetinaNet": 0}
# Parts without a loop over images.
AT_ONCE = ("assign", "weigh", "criterion", "log", "check", "ground truth")


@pytest.fixture
def launches(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import launches

    from imbdet.kernels import chunks
    from imbdet.ops import box_matrices

    # Put back what `as_on_a_gpu` changes.
    monkeypatch.setattr(box_matrices, "MAX_PAIRS_ON_CPU", box_matrices.MAX_PAIRS_ON_CPU)
    monkeypatch.setattr(chunks, "CHUNK_ENTRIES_CPU", chunks.CHUNK_ENTRIES_CPU)
    launches.as_on_a_gpu()
    return launches


def test_the_places_of_the_parts_exist(launches):
    """Otherwise the operations of a renamed function would count for another part."""
    for place in (place for places in launches.PARTS.values() for place in places):
        name, _, function = place.partition(":")
        tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, place


@pytest.mark.parametrize("name", MOST_WAITS)
def test_eight_images_ask_for_no_more_than_two(name, launches):
    training = launches.build_training(name)
    two, eight = (launches.count_iteration(training, number) for number in (2, 8))
    for part in AT_ONCE:
        assert eight.operations[part] == two.operations[part], part
    for counter in (two, eight):
        waits = {part: counter.synchronisations[part] for part in (*AT_ONCE, "sample", "other")}
        assert sum(waits.values()) <= MOST_WAITS[name], waits
        assert waits["assign"] == waits["ground truth"] == waits["other"] == 0
    assert eight.operations["sample"] - two.operations["sample"] <= 6 * MOST_PER_IMAGE[name]
