import numpy as np
import pytest
from matplotlib.collections import PathCollection

from imbdet.drawing.style import save
from imbdet.figures.class_frequency import Frequencies
from imbdet.figures.class_scores import class_scores
from imbdet.figures.study import NothingToShow
from tests.ink import is_cut_off


def chunk_of(classes, scores, is_gt=None):
    classes = np.array(classes)
    is_gt = np.zeros(len(classes), dtype=bool) if is_gt is None else np.array(is_gt)
    return {"class": classes, "score": np.array(scores), "is_gt": is_gt}


def objects(counts):
    return Frequencies(np.array(counts), "object")


def test_numbers_by_hand():
    chunks = [
        chunk_of([0, 2, 0], [0.5, 0.125, 1.0], [False, False, True]),  # the last one is appended
        chunk_of([0, 2], [0.25, 0.375]),
    ]
    numbers = class_scores(chunks, objects([40, 7, 3]), ["cat", "dog", "emu"])
    assert numbers.positives.tolist() == [2, 0, 2]
    np.testing.assert_equal(numbers.mean_scores, [0.375, np.nan, 0.25])
    assert numbers.sentence() == (
        "The median over classes of the mean score of their positives is 0.25 in the rarest class "
        "(3 objects) and 0.375 in the most frequent class (40 objects)."
    )
    assert numbers.table().to_pylist()[2] == {
        "class": "emu",
        "objects": 3,
        "positives": 2,
        "mean_score": 0.25,
    }


@pytest.mark.parametrize(
    ("counts", "where"),
    [([5], "the only class"), ([5, 5, 5], "the 3 classes"), ([5, 5, 5, 9], "the rarest class")],
)
def test_thirds_are_said_only_where_they_differ(counts, where):
    places = range(len(counts))
    numbers = class_scores([chunk_of(places, [0.5] * len(counts))], objects(counts), places)
    assert f"is 0.5 in {where}" in numbers.sentence()


def test_frequencies_in_training_are_called_so():
    frequencies = Frequencies(np.array([1, 30, 0]), "training image")
    numbers = class_scores([chunk_of([0, 1, 2], [0.5, 0.75, 0.25])], frequencies, ["a", "b", "c"])
    assert "0.25 in the rarest class (0 training images) and 0.75 in the" in numbers.sentence()
    assert numbers.table()["training_images"].to_pylist() == [30, 1, 0]
    (axes,) = numbers.draw().axes
    assert axes.get_xlabel() == "training images of the class"
    (points,) = axes.findobj(PathCollection)
    assert len(points.get_offsets()) == 2  # 0 has no logarithm


def test_no_positives_are_said():
    with pytest.raises(NothingToShow, match="no positives"):
        class_scores([chunk_of([0], [1.0], [True])], objects([1]), ["a"])
    with pytest.raises(NothingToShow, match="no positives"):
        class_scores([], objects([1]), ["a"])


@pytest.mark.parametrize(("num_classes", "num_names"), [(1, 1), (12, 12), (80, 0), (1203, 0)])
def test_points_of_many_classes_have_no_names(num_classes, num_names, tmp_path):
    places = np.arange(num_classes)
    chunk = chunk_of(places, places / num_classes)
    numbers = class_scores([chunk], objects(1 + places**2), [f"class {k}" for k in places])
    figure = numbers.draw()
    png, _ = save(figure, tmp_path / "figure")
    assert not is_cut_off(png)
    (axes,) = figure.axes
    (points,) = axes.findobj(PathCollection)
    assert len(points.get_offsets()) == num_classes
    assert len(axes.texts) == num_names
