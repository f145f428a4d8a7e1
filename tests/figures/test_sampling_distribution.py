import numpy as np
import pytest

from imbdet.figures.sampling_distribution import sampling_distribution
from imbdet.figures.study import NothingToShow
from imbdet.records import IOU_EDGES, LOSS_EDGES
from tests.analysis.problems import random_table, split

COLUMNS = {
    ("random", "positives"): "random",
    ("hard", "positives"): "ohem",
    ("prime", "positives"): "iou_hlr",
    ("random", "negatives"): "random",
    ("hard", "negatives"): "ohem",
    ("prime", "negatives"): "score_hlr",
}


def brute_force(chunk, column, label):
    counts = np.zeros((20, 35), dtype=int)
    for row in range(len(chunk["label"])):
        if chunk["label"][row] == label and chunk[f"chosen_by_{column}"][row]:
            i = min(sum(chunk["iou"][row] >= edge for edge in IOU_EDGES.numpy()) - 1, 19)
            j = sum(chunk["cls_loss"][row] >= edge for edge in LOSS_EDGES.numpy())
            counts[i, j] += 1
    return counts


def test_counts_are_those_of_the_rows():
    chunk = random_table(500)
    numbers = sampling_distribution(split(chunk, 0, 130, 131))
    for (selection, sign), column in COLUMNS.items():
        label = 1 if sign == "positives" else 0
        expected = brute_force(chunk, column, label)
        np.testing.assert_array_equal(numbers.counts[selection, sign], expected)
        rows = chunk[f"chosen_by_{column}"] & (chunk["label"] == label)
        assert numbers.mean_ious[selection, sign] == pytest.approx(chunk["iou"][rows].mean())
        mean_loss = chunk["cls_loss"][rows].mean(dtype=float)
        assert numbers.mean_losses[selection, sign] == pytest.approx(mean_loss)


def test_a_known_joint_distribution():
    # 3 random positives at (0.62, 0.5), 1 at (0.97, 2); only the latter is prime.
    chunk = {
        "label": np.ones(4, dtype=np.int8),
        "iou": np.array([0.62, 0.62, 0.62, 0.97], dtype=np.float32),
        "cls_loss": np.array([0.5, 0.5, 0.5, 2.0], dtype=np.float32),
        "chosen_by_random": np.ones(4, dtype=bool),
        "chosen_by_iou_hlr": np.array([False, False, False, True]),
    }
    numbers = sampling_distribution([chunk])
    table = numbers.table().to_pylist()
    # 10^(-1/2) < 0.5 < 10^(-1/4) and 10^(1/4) < 2 < 10^(1/2).
    assert [(row["selection"], row["count"], round(row["iou_from"], 2)) for row in table] == [
        ("random", 3, 0.6),
        ("random", 1, 0.95),
        ("prime", 1, 0.95),
    ]
    assert table[0]["loss_from"] == pytest.approx(10**-0.5)
    assert table[2]["loss_to"] == pytest.approx(10**0.5)
    assert numbers.counts["hard", "positives"] is None  # no such column
    assert "random 0.71 / 0.875, prime 0.97 / 2" in numbers.sentence()


def test_the_table_holds_every_chosen_candidate():
    chunk = random_table(300, seed=1)
    table = sampling_distribution([chunk]).table()
    expected = sum(
        (chunk[f"chosen_by_{column}"] & (chunk["label"] == (sign == "positives"))).sum()
        for (_, sign), column in COLUMNS.items()
    )
    assert sum(table["count"].to_pylist()) == expected


def test_nothing_chosen_is_said():
    chunk = random_table(50)
    chunk = {name: np.zeros_like(v) if v.dtype == bool else v for name, v in chunk.items()}
    with pytest.raises(NothingToShow, match="no candidate was chosen"):
        sampling_distribution([chunk])
    with pytest.raises(NothingToShow):
        sampling_distribution([])


def test_that_all_were_taken_is_said():
    chunk = random_table(50)
    is_positive = chunk["label"] == 1
    for name in ("random", "ohem", "iou_hlr"):
        chunk[f"chosen_by_{name}"] = chunk[f"chosen_by_{name}"] | is_positive
    numbers = sampling_distribution(split(chunk, 20))
    assert numbers.takes_all == {"positives": True, "negatives": False}
    iou, loss = chunk["iou"][is_positive].mean(), chunk["cls_loss"][is_positive].mean()
    same = "the same for random, hard, prime, which take all of them"
    assert f"of the positives: {iou:.2f} / {loss:.3g}, {same}; of the" in numbers.sentence()
