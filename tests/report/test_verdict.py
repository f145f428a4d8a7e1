"""Conclusions that a page draws, and those that it does not."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imbdet.report.verdict import judge_comparison, judge_evaluation, judge_training
from imbdet.run_files.best_evaluation import BestEvaluation
from tests.messages import assert_says


def settings(**solver):
    defaults = {"MAX_ITER": 450, "STEPS": [380, 430], "LR_SCHEDULER_NAME": "WarmupMultiStepLR"}
    return {"SOLVER": defaults | solver}


@pytest.mark.parametrize(
    ("solver", "last", "words"),
    [
        ({}, 450, None),
        ({"MAX_ITER": 300}, 0, None),  # nothing is logged yet
        ({}, 0, None),  # not known
        ({}, 300, "has done 300 of 450 iterations"),
        (
            {"MAX_ITER": 100},
            100,
            "before the first of SOLVER.STEPS (380)",
        ),
        ({"MAX_ITER": 100, "STEPS": []}, 100, None),
        ({"MAX_ITER": 100, "LR_SCHEDULER_NAME": "WarmupCosineLR"}, 100, None),
    ],
)
def test_a_training_that_is_too_short_is_said(solver, last, words):
    sentences = judge_training(settings(**solver), last)
    assert len(sentences) == (words is not None)
    assert all(words in sentence for sentence in sentences)


def test_a_training_that_stopped_early_is_said():
    best = BestEvaluation("bbox/AP", num_without_gain=3)
    stopped, unfinished = (
        judge_training(settings() | {"TEST": {"BEST": {"PATIENCE": n}}}, 300, best) for n in (3, 4)
    )
    assert_says(stopped[0], "stopped early, after 300 of 450 iterations", "in the last 3 evalu")
    assert_says(unfinished[0], "has done 300 of 450 iterations")


def lrp(fp, fn):
    return {"olrp": 60.0, "localisation": 20.0, "fp": fp, "fn": fn, "threshold": 0.5}


NOTHING = {"olrp": 100.0, "localisation": None, "fp": None, "fn": 100.0, "threshold": None}


def judge(tmp_path, best, confusion=(), objects=(50, 50)):
    per_class = {
        name: {"objects": n, "AP": ap, "AP50": ap}
        for name, n, ap in zip("ab", objects, (40.0, 20.0), strict=True)
    }
    content = {"metrics": {"bbox": {"per_class": per_class}}, "optimal_lrp": best}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    rows = [{"object": a, "detection": b, "count": n} for a, b, n in confusion]
    (tmp_path / "curves.json").write_text(json.dumps({"confusion": rows}))
    return " ".join(judge_evaluation(tmp_path))


@pytest.mark.parametrize(
    ("best", "words"),
    [
        ({"a": lrp(10, 50), "b": lrp(20, 50)}, "15 % of the detections are wrong and 50 % of"),
        ({"a": lrp(10, 50), "b": lrp(20, 50)}, "missed objects are the larger part"),
        ({"a": lrp(60, 30), "b": lrp(60, 30)}, "wrong detections are the larger part"),
        ({"a": lrp(30, 35), "b": lrp(30, 35)}, "neither stands out"),
        ({"a": lrp(10, 50), "b": NOTHING}, "1 of 2 classes are best not detected at all"),
        ({"a": NOTHING, "b": NOTHING}, "no class is worth detecting"),
        ({}, "the best class is a (AP 40.0, 50 objects); the worst class is b (AP 20.0"),
    ],
)
def test_errors_at_the_best_thresholds(tmp_path, best, words):
    assert words in judge(tmp_path, best)


@pytest.mark.parametrize(
    ("confusion", "words"),
    [
        ([("a", "a", 40), ("a", "b", 10), ("b", "b", 50)], "10 of 50 objects of a are taken for b"),
        ([("a", "a", 40), ("a", None, 10), ("b", "b", 50)], "no class is often taken for another"),
        ([("a", "a", 6), ("a", "b", 4), ("b", "b", 50)], "no class is often"),  # four are few
        (
            [("a", "a", 900), ("a", "b", 10), ("b", "b", 50)],
            "no class is often",
        ),  # one in a hundred
    ],
)
def test_confusions_are_said_where_there_are_enough(tmp_path, confusion, words):
    assert words in judge(tmp_path, {}, confusion)


def test_few_objects_are_said(tmp_path):
    assert "1 class has fewer than 10 objects (b)" in judge(tmp_path, {}, objects=(50, 9))


def write_comparison(folder, low, verdict, ends=(450, 450)):
    def row(run, change=None, low=None, high=None, verdict=None):
        names = ("difference", "difference_low", "difference_high", "difference_verdict")
        return {"run": run, "value": 30.0} | dict(
            zip(names, (change, low, high, verdict), strict=True)
        )

    rows = [row("base"), row("new", 1.0, low, 2.0, verdict)]
    for name, key, labels in (("coco", "metric", ["AP"]), ("class_ap", "class", ["a", "b"])):
        table = pa.Table.from_pylist([{**r, key: label} for r in rows for label in labels])
        pq.write_table(table, folder / f"{name}.parquet")
    curves = [
        {"run": run, "scalar": "total_loss", "iteration": end - 1, "value": 1.0}
        for run, end in zip(("base", "new"), ends, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(curves), folder / "curves.parquet")


@pytest.mark.parametrize(
    ("low", "verdict", "words"),
    [
        (0.5, "better", "new is better than base: AP 30.0, +1.0 [+0.5, +2.0]."),
        (-0.5, "undecided", "Whether new is better or worse than base is undecided: AP 30.0, +1.0"),
        (float("nan"), "undecided", "is undecided: AP 30.0, +1.0 without an interval."),
    ],
)
def test_a_comparison_claims_what_the_intervals_decide(tmp_path, low, verdict, words):
    write_comparison(tmp_path, low, verdict)
    sentences = judge_comparison(tmp_path)
    assert words in sentences[0]
    gain, undecided = (2, 0) if verdict == "better" else (0, 2)
    assert sentences[1] == f"new: of 2 classes {gain} gain, 0 lose, {undecided} are undecided."
    assert "other seeds may differ by more" in sentences[-1]
    assert len(sentences) == 3


def test_trainings_of_other_lengths_are_said(tmp_path):
    write_comparison(tmp_path, 0.5, "better", ends=(450, 300))
    assert "not equally long (base 450, new 300 iterations)" in " ".join(judge_comparison(tmp_path))
