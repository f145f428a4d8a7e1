"""Drawings of names and numbers that are hard to draw."""

import numpy as np
import pytest

from imbdet.drawing.style import COLOR_MAP, save, short
from imbdet.figures.columns import SELECTIONS, SIGNS
from imbdet.figures.hardness import EDGES, Hardness
from imbdet.figures.imbalance import imbalance
from imbdet.figures.rank_histogram import RankHistogram
from imbdet.figures.sampling_distribution import SamplingDistribution


def draw_classes(names):
    """The upper panel of an imbalance, with the most frequent class first."""
    chunk = {
        "class": np.repeat(np.arange(len(names)), np.arange(len(names), 0, -1)),
        "area": np.array(100.0),
        "num_positives": np.array(2),
    }
    columns = {
        name: np.broadcast_to(values, chunk["class"].shape) for name, values in chunk.items()
    }
    chosen = np.arange(len(names) + 1)
    return imbalance([columns], num_negatives=50, chosen=chosen, classes=names).draw()


def test_dollars_are_no_mathematics(tmp_path):
    figure = draw_classes(["$_$", "US$ and CA$"])
    assert save(figure, tmp_path / "figure")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [r"\$_\$", r"US\$ and CA\$", "background"]


def test_the_middle_of_a_long_name_is_left_out():
    name = "a name of 24 characters,"
    assert short(name) == name
    assert short(f"{name} and a tail") == "a name of 2…, and a tail"


@pytest.mark.parametrize("num_classes", [3, 1203])
def test_every_class_is_drawn(num_classes, recwarn):
    axes = draw_classes([f"class {i}" for i in range(num_classes)]).axes[0]
    handles, labels = axes.get_legend_handles_labels()
    assert sorted(labels) == ["candidates", "chosen", "objects"]
    candidates, chosen = (handles[labels.index(name)] for name in ("candidates", "chosen"))
    assert list(candidates.get_ydata()) == [*range(2 * num_classes, 0, -2), 50]
    assert list(chosen.get_ydata()) == list(range(num_classes + 1))
    assert not recwarn.list


@pytest.mark.parametrize("num_classes", [30, 80, 1203])
def test_names_of_many_classes_lie_apart(num_classes):
    figure = draw_classes([f"class {i}" for i in range(num_classes)])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    *places, last = axes.get_xticks()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [*(f"class {place}" for place in places), "background"]
    assert places[0] == 0
    assert last >= num_classes
    # A line of turned text is no wider than the distance to the next.
    gaps = np.diff(axes.transData.transform([(x, 1) for x in (*places, last)])[:, 0])
    assert (gaps > 8 / 72 * figure.dpi).all()
    if num_classes > 30:
        assert f"{num_classes:,} classes" in axes.get_xlabel()


def test_shares_below_a_percent_are_not_called_zero():
    counts = np.zeros(len(EDGES) - 1, dtype=np.int64)
    counts[:2] = 995, 5
    figure = Hardness({"random": counts, "hard": counts}, {"random": 0, "hard": 0}).draw()
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    labels = [label.get_text() for value, label in ticks if low <= value <= high]
    assert "0.5%" in labels
    assert "0%" not in labels


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ([20, 40], "\n(dotted, as in COCO: small below 32)"),
        ([20, 200], "\n(dotted, as in COCO: small below 32, large from 96)"),
        ([4, 8], ""),
    ],
)
def test_sizes_of_coco_are_said_as_they_are_drawn(sides, said):
    rows = {"class": np.array([0, 0]), "area": np.array(sides) ** 2.0}
    chunk = {**rows, "num_positives": np.array([1, 1])}
    figure = imbalance([chunk], 9, np.array([1, 1]), ["a"]).draw()
    _, sizes, owned = figure.axes
    assert sizes.get_xlabel() == f"square root of the area in pixels{said}"
    assert len(sizes.lines) == said.count(" below ") + said.count(" from ")
    figure.draw_without_rendering()
    assert not any(tick % 1 for axes in (sizes, owned) for tick in axes.get_yticks())


def test_the_legend_of_ranks_is_above_the_bars():
    # With the same number in each bin no place beside the bars is left.
    numbers = RankHistogram(np.array([0, 1, 2, 4]), np.full(3, 5), np.full(3, 5))
    figure = numbers.draw()
    figure.draw_without_rendering()
    axes = figure.axes[1]
    legend = axes.get_legend().get_window_extent()
    assert all(bar.get_window_extent().y1 < legend.y0 for bar in axes.patches)


def test_panels_that_are_the_same_are_drawn_once():
    counts = np.zeros((20, 35), dtype=np.int64)
    counts[10, 5] = 7
    other = counts + np.eye(*counts.shape, dtype=np.int64)
    of_all = {(selection, sign): counts for selection in SELECTIONS for sign in SIGNS}
    means = dict.fromkeys(of_all, 0.5)
    counted = {**of_all, ("hard", "negatives"): other}
    numbers = SamplingDistribution(counted, means, means, dict.fromkeys(SIGNS, False))
    panels = numbers.draw().axes
    same = [axes for axes in panels if any("same" in text.get_text() for text in axes.texts)]
    assert len(same) == 3  # hard and prime positives, prime negatives


def test_what_is_rare_is_light_but_seen():
    lightness = [sum(COLOR_MAP(share)[:3]) for share in np.linspace(0, 1, 50)]
    assert lightness == sorted(lightness, reverse=True)
    assert 2.6 > lightness[0] > 2.3
    assert lightness[-1] < 1
