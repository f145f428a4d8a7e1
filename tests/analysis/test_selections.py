import pytest
import torch

from imbdet.analysis.selections import Selections, build_selections
from imbdet.modeling.site_keys import RETINANET, ROI_HEADS
from imbdet.samplers import (
    HardSampler,
    IoUHLRPositives,
    QuotaSampler,
    ScoreHLRNegatives,
    pick_all,
    pick_random,
)
from tests.analysis.problems import worked_example
from tests.modeling.conftest import small_config

NAMES = "ABCDEGHIKL"


def selections(batch_size, fraction):
    quotas = QuotaSampler(
        pick_all, pick_all, batch_size_per_image=batch_size, positive_fraction=fraction
    )
    positive = {"random": pick_random, "ohem": HardSampler(), "iou_hlr": IoUHLRPositives()}
    negative = {"random": pick_random, "ohem": HardSampler(), "score_hlr": ScoreHLRNegatives()}
    return Selections(positive, negative, quotas, refused={})


def chosen(batch_size, fraction):
    masks = selections(batch_size, fraction).apply(
        worked_example(), torch.Generator().manual_seed(0)
    )
    return {
        sampler: "".join(name for name, is_chosen in zip(NAMES, mask, strict=True) if is_chosen)
        for sampler, mask in masks.items()
    }


@pytest.mark.parametrize(
    ("batch_size", "ohem", "iou_hlr", "score_hlr"),
    [
        (2, "BK", "D", "G"),
        (4, "BEHK", "CD", "GK"),
        (6, "ABEGHK", "ACD", "GHK"),
        (8, "ABCEGHIK", "ACDE", "GHIK"),
    ],
)
def test_hard_is_by_loss_and_prime_by_rank(batch_size, ohem, iou_hlr, score_hlr):
    result = chosen(batch_size, 0.5)
    assert result["ohem"] == ohem
    assert result["iou_hlr"] == iou_hlr
    assert result["score_hlr"] == score_hlr
    assert len(result["random"]) == batch_size


def test_negatives_fill_what_positives_leave():
    # Five positives for a quota of six leave three of eight.
    assert chosen(8, 0.75)["ohem"] == "ABCDEGHK"
    assert len(chosen(8, 0.75)["random"]) == 8
    assert chosen(16, 0.5)["ohem"] == NAMES  # there are no more


def test_negatives_are_ranked_by_score_hlr():
    rows = selections(2, 0.5).ranked_negatives(worked_example())
    assert "".join(NAMES[row] for row in rows) == "GKHI"  # the score of L is too low


def test_same_seed_same_choice():
    assert chosen(4, 0.5) == chosen(4, 0.5)


def test_all_registered_samplers_are_there():
    built = build_selections(small_config("faster_rcnn"), ROI_HEADS)
    assert {"random", "all", "ohem", "instance_balanced", "iou_hlr"} <= set(built.positive)
    assert {"random", "all", "ohem", "iou_balanced", "score_hlr"} <= set(built.negative)
    assert built.refused == {}
    assert built.quotas.max_positives(100) == 8
    assert built.quotas.max_negatives(8) == 24


def test_quotas_are_those_of_the_training():
    options = ("MODEL.SAMPLER.MAX_NEG_POS_RATIO", 1.0)
    built = build_selections(small_config("faster_rcnn", *options), ROI_HEADS)
    assert built.quotas.max_negatives(8) == 8


def test_dense_detectors_lack_what_compares_all_pairs():
    built = build_selections(small_config("retinanet"), RETINANET)
    assert "score_hlr" not in built.negative
    assert "all pairs of negatives" in built.refused["score_hlr"]
    assert built.quotas.max_positives(70) == 70
    assert built.quotas.max_negatives(70) == 210
    assert len(built.ranked_negatives(worked_example())) == 0
