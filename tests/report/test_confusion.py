import numpy as np
import pytest

from imbdet.report.confusion_section import (
    NUM_GROUPS,
    confusion_section,
    draw_groups,
    draw_matrix,
    fates_of_classes,
)
from imbdet.report.elements import to_html


def entries_of(counts):
    return [{"object": a, "detection": b, "count": n} for (a, b), n in counts.items()]


def random_counts(num_classes, seed=0):
    """A tail of classes, whose objects are right, missed, or taken for others."""
    rng = np.random.default_rng(seed)
    names = [f"class {k}" for k in range(num_classes)]
    counts = {}
    for k, name in enumerate(names):
        counts[name, name] = 2 * (num_classes - k)
        counts[name, None] = 1 + k % 3
        for other in rng.choice(num_classes, 3, replace=False):
            if other != k:
                counts[name, names[other]] = int(rng.integers(1, 5))
        counts[None, name] = 4
    return names, counts


def cells(plot):
    return plot.figure.axes[0].images[0].get_array().filled(0)


def test_what_becomes_of_each_class():
    counts = {("a", "a"): 6, ("a", "b"): 1, ("a", "c"): 2, ("a", None): 1, ("c", None): 4}
    counts |= {(None, "b"): 9}
    assert fates_of_classes(entries_of(counts), ["a", "b", "c"]) == [
        ("a", 10, 60.0, 30.0, 10.0, "c (2)"),
        ("c", 4, 0.0, 0.0, 100.0, ""),
    ]


def test_few_classes_have_one_matrix_with_all_numbers():
    names, counts = random_counts(3)
    plot = draw_matrix(entries_of(counts), names)
    texts = [text.get_text() for text in plot.figure.axes[0].texts]
    assert sorted(texts) == sorted(map(str, counts.values()))
    page = to_html([confusion_section("val", entries_of(counts), names)])
    assert "groups" not in page
    assert page.count("What becomes of each class") == 1


@pytest.mark.parametrize("num_classes", [3, 11, 12, 40])
def test_neither_names_nor_numbers_of_neighbours_overlap(num_classes):
    names, counts = random_counts(num_classes)
    counts = {pair: 99 * n for pair, n in counts.items()}
    figure = draw_matrix(entries_of(counts), names).figure
    figure.draw_without_rendering()
    (axes,) = figure.axes
    column = axes.get_window_extent().width / axes.images[0].get_array().shape[1]
    assert all(text.get_window_extent().width <= column for text in axes.texts)
    labels = axes.get_xticklabels()
    heights = [label.get_fontsize() * figure.dpi / 72 for label in labels]
    between = column * np.sin(np.radians([label.get_rotation() for label in labels]))
    assert np.all(heights <= between)


def test_what_is_taken_for_a_class_without_a_column_is_in_one_of_all_others():
    entries = entries_of({("a", "a"): 10, ("a", "z"): 90, ("z", "z"): 5, (None, "z"): 3})
    axes = draw_matrix(entries, ["a"]).figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "(other classes)"
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares, [[0.1, 0, 0.9], [0, 0, 1]])


@pytest.mark.parametrize("num_classes", [41, 80, 1203])
def test_groups_have_every_class(num_classes):
    names, counts = random_counts(num_classes)
    plot = draw_groups(entries_of(counts), names)
    of_group = np.array_split(np.arange(num_classes), NUM_GROUPS)  # sizes differ by one at most
    labels = [label.get_text() for label in plot.figure.axes[0].get_xticklabels()]
    first, *_ = (int(label.split("-")[1]) for label in labels[1:-1])
    assert first in (len(of_group[0]), len(of_group[-1]))
    shares = cells(plot)
    ends = [int(label.split("-")[1]) for label in labels[1:-1]]
    assert ends[-1] == num_classes
    for row, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        own = {(a, b): n for (a, b), n in counts.items() if a in names[start:end]}
        right = sum(n for (a, b), n in own.items() if a == b)
        missed = sum(n for (_, b), n in own.items() if b is None)
        last = sum(n for (a, b), n in own.items() if a != b and b in names[ends[-2] :])
        total = sum(own.values())
        np.testing.assert_allclose(
            shares[row, [0, -2, -1]], np.array([right, last, missed]) / total
        )
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_the_page_of_many_classes_names_the_rarest():
    names, counts = random_counts(80)
    page = to_html([confusion_section("val", entries_of(counts), names)])
    assert f"<td>{names[-1]}</td>" in page
    assert "the first 40 of 80 classes" in page
