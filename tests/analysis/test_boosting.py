import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.analysis.boosted_detections import coco_ground_truth, compare_variants, evaluate_boosts
from imbdet.analysis.raised_scores import DECREASE, boost, raise_scores, with_scores
from imbdet.evaluation import CocoMetrics
from imbdet.figures.boosting import BASELINE, TOPS, variants
from imbdet.figures.study import NothingToShow
from imbdet.structures.classifiers import SIGMOID, SOFTMAX

CLASSES = ["cat", "dog"]


def positives(scores):
    num = len(scores)
    matrix = torch.full((num + 2, 3), 0.01)
    rows, classes = torch.arange(num), torch.arange(num) % 3
    matrix[rows, classes] = torch.tensor(scores)
    return matrix, rows, classes, torch.arange(num)


def fall(before, after, rows, classes):
    losses = [-scores[rows, classes].double().log().sum() for scores in (before, after)]
    return float(losses[0] - losses[1])


@given(st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=60))
def test_both_boosts_lower_the_loss_alike(scores):
    problem = positives(scores)
    boosts = [boost(*problem, top, SOFTMAX) for top in TOPS]
    assert abs(boosts[0].decrease - boosts[1].decrease) < 1e-6
    assert [b.num_boosted for b in boosts] == [min(len(scores), top) for top in TOPS]
    first = problem[0][problem[1], problem[2]][: TOPS[0]].double()
    assert boosts[0].decrease == pytest.approx(-DECREASE * float(first.log().sum()), abs=1e-6)


@pytest.mark.parametrize("classifier", [SOFTMAX, SIGMOID])
def test_a_boost_by_hand(classifier):
    # One positive of score 0.25: half of log 4 is log 2, so the score doubles.
    scores = torch.tensor([[0.25, 0.15], [0.4, 0.3]])
    one = torch.zeros(1, dtype=torch.int64)
    result = boost(scores, one, one, one, 5, classifier)
    # With softmax the rest, 0.5 instead of 0.75, is shared as before.
    other = 0.15 * 0.5 / 0.75 if classifier is SOFTMAX else 0.15
    torch.testing.assert_close(result.scores, torch.tensor([[0.5, other], [0.4, 0.3]]))
    assert result.decrease == pytest.approx(np.log(2), abs=1e-9)
    assert scores[0, 0] == 0.25  # the detector's own stay


def test_only_the_first_are_raised_all_by_one_shift():
    matrix, rows, classes, ranks = positives([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    after = boost(matrix, rows, classes, ranks, 5, SIGMOID).scores
    shifts = torch.logit(after[rows, classes]) - torch.logit(matrix[rows, classes])
    torch.testing.assert_close(shifts[:5], shifts[:1].expand(5), rtol=1e-4, atol=1e-4)
    assert shifts[0] > 0
    assert (after[5:] == matrix[5:]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_set_in_a_copy(dtype):
    scores = torch.tensor([[0.25, 0.15], [0.4, 0.3]], dtype=dtype)
    one = torch.ones(1, dtype=torch.int64)
    result = with_scores(scores, one, one, torch.tensor([0.65]), SOFTMAX)
    # Of the rest of 0.7, 0.35 remain: it is halved, as the other score is.
    torch.testing.assert_close(result, torch.tensor([[0.25, 0.15], [0.2, 0.65]], dtype=dtype))
    assert scores[1].tolist() == pytest.approx([0.4, 0.3])


@pytest.mark.parametrize("scores", [[], [0.0, 0.0], [1.0], [1.0, 0.0, 0.5]])
def test_extreme_scores_stay_finite(scores):
    matrix, *rest = positives(scores)
    boosts = [boost(matrix, *rest, top, SOFTMAX) for top in TOPS]
    for result in boosts:
        assert result.scores.isfinite().all()
        assert ((result.scores >= 0) & (result.scores <= 1)).all()
    assert abs(boosts[0].decrease - boosts[1].decrease) < 1e-6


def test_raised_scores_fall_short_by_nothing():
    scores = torch.tensor([0.2, 0.9], dtype=torch.float64)
    raised = raise_scores(scores, 0.3)
    assert float((raised / scores).log().sum()) == pytest.approx(0.3, abs=1e-12)
    torch.testing.assert_close(raise_scores(scores, 0.0), scores)


def records():
    note = {"bbox": [10.0, 10.0, 30.0, 30.0], "bbox_mode": 0, "category_id": 1}  # XYXY
    return [{"image_id": 7, "annotations": [note]}, {"image_id": 8, "annotations": []}]


def detections(boosted_score):
    """A detection with an IoU of 0.825 and one of nothing, which scores 0.5, in each variant."""
    rows = {name: [] for name in ("variant", "image_id", "class", "score", "x0", "y0", "x1", "y1")}
    for variant in variants():
        score = 0.4 if variant == BASELINE else boosted_score
        for values in (
            (variant, "7", 1, score, 10.0, 10.0, 30.0, 26.5),
            (variant, "8", 1, 0.5, 10.0, 10.0, 30.0, 30.0),
        ):
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    return {name: np.array(values) for name, values in rows.items()}


def boosts(num_boosted=1):
    return {
        "top": np.array(TOPS),
        "num_boosted": np.array([num_boosted, num_boosted]),
        "decrease": np.array([0.25, 0.25]),
    }


@pytest.mark.parametrize("library", ["faster-coco-eval", "pycocotools"])
def test_evaluation_by_hand(library):
    study = evaluate_boosts(
        [detections(0.6)], [boosts(), boosts()], records(), CLASSES, library=library
    )
    # The detection of nothing comes first, so the precision is one half; boosted, it comes last.
    # Seven of ten IoU thresholds are below 0.825.
    assert study.ap == pytest.approx({BASELINE: 35.0, "top 5": 70.0, "top 25": 70.0})
    np.testing.assert_allclose(study.precisions[BASELINE, 0.75], 0.5)
    np.testing.assert_allclose(study.precisions["top 5", 0.5], 1.0)
    np.testing.assert_allclose(study.precisions["top 5", 0.9], 0.0)
    assert study.decreases == {5: 0.5, 25: 0.5}
    assert "AP: as it is 35.0, top 5 70.0" in study.sentence()
    assert "lower by 0.5; it raises those of 2 (top 5) and 2 (top 25)" in study.sentence()
    assert len(study.table()) == 9 * 101
    figure = study.draw()
    legends = [figure.axes[1].get_legend(), *figure.legends]
    shown, overall = ([text.get_text() for text in legend.get_texts()] for legend in legends)
    assert shown == ["as it is: AP 50.0", "top 5: AP 100.0", "top 25: AP 100.0"]  # at IoU 0.75
    assert overall == ["as it is: AP 35.0", "top 5: AP 70.0", "top 25: AP 70.0"]


def test_a_variant_without_detections_finds_nothing():
    names = [BASELINE, "nothing"]
    comparisons = compare_variants([detections(0.6)], [*variants(), "nothing"], records(), CLASSES)
    ap = {name: CocoMetrics.of(comparisons[name]).overall["AP"] for name in names}
    assert ap == pytest.approx({BASELINE: 35.0, "nothing": 0.0})


def test_no_positives_are_said():
    with pytest.raises(NothingToShow, match="no positives"):
        evaluate_boosts([detections(0.6)], [boosts(0)], records(), CLASSES, library="pycocotools")


def test_ground_truth_of_any_box_mode():
    xyxy, xywh = records()[0], records()[0]
    xywh["annotations"] = [{"bbox": [10, 10, 20, 20], "bbox_mode": 1, "category_id": 1}]
    assert [note["bbox"] for note in coco_ground_truth([xyxy], CLASSES)["annotations"]] == [
        note["bbox"] for note in coco_ground_truth([xywh], CLASSES)["annotations"]
    ]
