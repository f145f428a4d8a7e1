import numpy as np
import pytest

from imbdet.figures.imbalance import POSITIVES_EDGES, SIZE_EDGES, imbalance
from imbdet.figures.study import NothingToShow

OBJECTS = {
    "class": np.array([0, 0, 0, 2], dtype=np.int32),
    "area": np.array([100.0, 1024.0, 1023.0, 1e9], dtype=np.float32),
    "num_positives": np.array([0, 1, 5, 300], dtype=np.int32),
}


def test_numbers_by_hand():
    chosen = np.array([4, 0, 20, 36])
    names = ["cat", "dog", "emu"]
    numbers = imbalance([OBJECTS], num_negatives=612, chosen=chosen, classes=names)
    assert numbers.classes == ["cat", "emu", "dog"]  # the most frequent first; one may be empty
    assert numbers.objects.tolist() == [3, 1, 0]
    assert numbers.positives.tolist() == [6, 300, 0]
    assert numbers.chosen.tolist() == [4, 20, 0, 36]
    places = np.searchsorted(SIZE_EDGES, np.sqrt(OBJECTS["area"]), side="right") - 1
    assert numbers.sizes.tolist() == np.bincount(places, minlength=len(SIZE_EDGES) - 1).tolist()
    # 32 pixels and more are of another bin than less.
    assert places[1] == places[2] + 1
    owned = dict(zip(POSITIVES_EDGES[:-1].tolist(), numbers.owned.tolist(), strict=True))
    assert {least: n for least, n in owned.items() if n} == {0: 1, 1: 1, 4: 1, 256: 1}
    assert "the most are 'cat' (3), the fewest 'dog' (0)" in numbers.sentence()
    assert "2.0 negatives for each positive, and 1.5 among those that the" in numbers.sentence()
    rows = numbers.table().to_pylist()
    assert sum(row["count"] for row in rows) == 4 + 306 + 24 + 4 + 4 + 612 + 36
    sizes, owned = (
        [row["bin"] for row in rows if row["distribution"].startswith(name)]
        for name in ("size below", "positives of an object")
    )
    assert [*sizes[:3], *sizes[-2:]] == ["4", "5.7", "8", "1448.2", "more"]
    assert [*owned[:6], *owned[-2:]] == ["0", "1", "2", "3", "7", "15", "255", "more"]


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ([0, 0, 1, 2, 2], "the most are 'a' and 'c' (2 each), the fewest 'b' (1);"),
        ([0, 0, 0, 1, 2], "the most are 'a' (3), the fewest 'b' and 'c' (1 each);"),
        ([0, 1, 2], "Of 3 objects each class has 1;"),
    ],
)
def test_all_classes_of_a_tie_are_said(classes, sentence):
    rows = {"class": np.array(classes), "area": np.full(len(classes), 9.0)}
    chunk = {**rows, "num_positives": np.full(len(classes), 2)}
    chosen = np.zeros(4, dtype=np.int64)
    numbers = imbalance([chunk], num_negatives=5, chosen=chosen, classes=["a", "b", "c"])
    assert sentence in numbers.sentence()


def test_no_objects_are_said():
    with pytest.raises(NothingToShow, match="no objects"):
        imbalance([], num_negatives=5, chosen=np.array([0, 5]), classes=["cat"])
